/**
 * Keys of responses that depend on fields of the request (RFC 9111, section 4.1). Pure.
 *
 * A URL's own key has either a response, or the names of the fields that choose one. The key of a
 * chosen response adds the values of those fields. It may have names in turn: responses of one URL
 * may vary by different fields.
 */
import { fieldsIn } from "./cache-control.ts";

/**
 * This field chooses nothing: a response is stored without its content coding, and the runtime
 * codes it anew for each client.
 */
const NO_CHOICE = "accept-encoding";

/** Returns the names in `Vary` that the response's key does not include yet, sorted. */
export function newNames(vary: string | null, known: readonly string[]): string[] {
  const names = fieldsIn(vary ?? "").filter((name) => name !== NO_CHOICE && !known.includes(name));
  return [...new Set(names)].sort();
}

/**
 * Returns the key of the response that these fields choose.
 *
 * @param id that of the list of names: once the list is forgotten, so are the responses it led to
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
 * Returns a value in a form that equal values share: without blanks around commas and semicolons.
 * An absent value stays other than an empty one. The order stays, since many servers take the first
 * of several languages.
 */
function normalized(name: string, value: string | null): string | null {
  if (value === null || value.includes('"')) return value;
  const parts = value
    .split(/\s*([,;])\s*/)
    .join("")
    .trim();
  return name === "accept-language" ? parts.toLowerCase() : parts;
}
