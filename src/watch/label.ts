/** How a client is named in what an operator sees, so that no more of it is kept than needed. */

/**
 * - `full`: the key as it is.
 * - `prefix`: an address's network, `192.0.2.*` or the first 48 bits; of other texts the first
 *   half, at most 8 characters.
 * - `hashed`: the key's hash under the secret. Equal keys have equal labels.
 */
export type LabelForm = "full" | "prefix" | "hashed";

/** The longest label, in UTF-16 units: the longest value of a dimension. */
const MAX_LABEL_CHARS = 256;
const MAX_PREFIX_CHARS = 8;
const IPV4 = /^(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}$/;
const IPV6 = /^((?:[0-9a-f]*:){1,3})[0-9a-f:]+(?:\/\d+)?$/i;

/** What the command line does not read as a text: a list, or a client's address. */
const NO_TEXT = /^(?:\[|ip:)/;

/**
 * Returns a key's label in one of the two forms that can be read. The command line and the live
 * page read a label in full as the key: several parts are a list in JSON.
 */
export function labelOf(key: readonly string[], form: Exclude<LabelForm, "hashed">): string {
  const parts = form === "full" ? key : key.map(prefixOf);
  const [part = ""] = parts;
  const isText = parts.length === 1 && !NO_TEXT.test(part);
  return (isText ? part : JSON.stringify(parts)).slice(0, MAX_LABEL_CHARS);
}

function prefixOf(part: string): string {
  const network = IPV4.exec(part)?.[1];
  if (network !== undefined) return `${network}.*`;
  const start = IPV6.exec(part)?.[1];
  if (start !== undefined) return `${start}*`;
  return `${part.slice(0, Math.min(MAX_PREFIX_CHARS, part.length >> 1))}…`;
}
