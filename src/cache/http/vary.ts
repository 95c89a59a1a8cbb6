/**
 * Keys of responses that depend on fields of the request (RFC 9111, section 4.1). Pure.
 *
 * Under a URL's own key there is either a response, or the names of the fields that choose one. The
 * key of a chosen response adds the values of those fields, and may itself lead further: responses
 * of one URL may vary by different fields.
 */
import { fieldsIn } from "./cache-control.ts";

/**
 * Every response is stored without its content coding, and the runtime codes it anew for each client.
 * So this field chooses nothing.
 */
const NO_CHOICE = "accept-encoding";

/** Returns the names in `Vary` that the key of the response does not know yet, sorted. */
export function newNames(vary: string | null, known: readonly string[]): string[] {
  const names = fieldsIn(vary ?? "").filter((name) => name !== NO_CHOICE && !known.includes(name));
  return [...new Set(names)].sort();
}

/**
 * Returns the key of the response that these fields choose.
 *
 * @param id of the list of names: when the list is forgotten, so is what it led to
 */
export function chosenKey(
  key: string,
  id: string,
  names: readonly string[],
  request: Headers,
): string {
  const values = names.map((name) => normalized(name, request.get(name)));
  return `${key} ${id} ${JSON.stringify(values)}`;
}

/**
 * Values that differ in blanks only become one. Absent is other than empty. The order stays: many
 * servers take the first of several languages.
 */
function normalized(name: string, value: string | null): string | null {
  if (value === null || value.includes('"')) return value;
  const parts = value
    .split(/\s*([,;])\s*/)
    .join("")
    .trim();
  return name === "accept-language" ? parts.toLowerCase() : parts;
}
