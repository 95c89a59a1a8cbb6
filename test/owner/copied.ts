/** Copies a value as storage does. Most are bytes or none, for which a structured clone is slow. */
export function copied<Value>(value: Value): Value {
  if (value instanceof Uint8Array) return value.slice() as Value & Uint8Array;
  return typeof value === "object" ? structuredClone(value) : value;
}
