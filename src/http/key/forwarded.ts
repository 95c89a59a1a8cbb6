/**
 * Reads the header that names the client, in the forms that proxies write: nginx and HAProxy a bare
 * address, Azure and AWS one with a port, RFC 7239 `for="[2001:db8::1]:4711";proto=https`.
 *
 * Only the last entry counts: the proxy next to the Worker wrote it, clients wrote what is before.
 */
import { type Address, readAddress } from "../../limit/address-list.ts";

const PAIR = /([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))/g;
/**
 * The last element of a list as RFC 7239, section 4, has it. Read from its end: a client's open
 * quote before it cannot reach into what the proxy wrote.
 */
const LAST_ELEMENT = new RegExp(`(?:^|,)\\s*(${PAIR.source}(?:\\s*;\\s*${PAIR.source})*)$`);
/** `[IPV6]` with or without a port; a port may be hidden (RFC 7239, section 6). */
const BRACKETED = /^\[([^\]]*)\](?::[\w.-]*)?$/;
/** Without brackets, as CloudFront writes it, a short port cannot be told from a part of IPv6. */
const PORT = /(?<=[\da-f]):(?:\d{1,5}|_[\w.-]+)$/i;
/** The interface that an address of a link is on (RFC 4007, section 11). */
const ZONE = /%.*$/;

/** Returns the address of the last entry; undefined if it names none. */
export function readForwarded(listed: string): Address | undefined {
  // Nearly always.
  const bare = readAddress(listed);
  if (bare) return bare;
  const node = lastNode(listed);
  const host = (BRACKETED.exec(node)?.[1] ?? node).replace(ZONE, "");
  return readAddress(host) ?? readAddress(host.replace(PORT, ""));
}

/** Says why a header names no client, and nothing of what stands in it. */
export function whyNoAddress(listed: string | null): string {
  if (listed === null) return "it is absent";
  const node = lastNode(listed);
  if (!node) return listed.includes("=") ? "its last entry has no for=" : "it is empty";
  if (/^unknown/i.test(node)) return 'its last entry is "unknown"';
  if (node.startsWith("_")) return "its last entry is hidden (RFC 7239, section 6.3)";
  return "its last entry is not an address";
}

/** What the last entry calls the client. Empty entries do not count (RFC 9110, section 5.6.1). */
function lastNode(listed: string): string {
  let end = listed.length;
  // An expression that looks for the end would take quadratic time, and clients write this.
  while (end > 0 && " \t,;".includes(listed.charAt(end - 1))) end--;
  const text = listed.slice(0, end);
  const element = text.includes("=") ? LAST_ELEMENT.exec(text)?.[1] : undefined;
  if (element === undefined) return unquoted(text.slice(text.lastIndexOf(",") + 1));
  const nodes = [...element.matchAll(PAIR)].filter(([, name]) => name?.toLowerCase() === "for");
  const [[, , quoted, token = ""] = []] = nodes;
  return nodes.length === 1 ? (quoted ?? token).replace(/\\(.)/g, "$1").trim() : "";
}

function unquoted(entry: string): string {
  return entry.trim().replace(/^"(.*)"$/, "$1");
}
