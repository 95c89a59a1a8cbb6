/** Returns the entries that a storage's `list` would return, in the order of their keys. */
export function listed<Value>(
  entries: ReadonlyMap<string, Value>,
  { prefix = "", startAfter = "", limit }: DurableObjectListOptions = {},
): [key: string, value: Value][] {
  return [...entries]
    .filter(([key]) => key.startsWith(prefix) && (startAfter === "" || key > startAfter))
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .slice(0, limit);
}
