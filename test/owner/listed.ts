/** What a storage's `list` gives of entries in memory, by their keys in order. */
export function listed<Value>(
  entries: ReadonlyMap<string, Value>,
  { prefix = "", startAfter = "", limit }: DurableObjectListOptions = {},
): [key: string, value: Value][] {
  return [...entries]
    .filter(([key]) => key.startsWith(prefix) && (startAfter === "" || key > startAfter))
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .slice(0, limit);
}
