/**
 * Reads the client's address from a header, in the forms that proxies write: nginx and HAProxy a
 * bare address, Azure and AWS one with a port, RFC 7239 `for="[2001:db8::1]:4711";proto=https`.
 *
 * Only the last entry counts: the proxy in front wrote it. A client may have written the others.
 */
import { type Address, readAddress } from "../../limit/address-list.ts";
import { trimEnd } from "./trim-end.ts";

const PAIR = /([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))/g;
/**
 * The last element of a list (RFC 7239, section 4). It is matched from its end, so that an open
 * quote of a client cannot reach into what the proxy wrote.
 */
const LAST_ELEMENT = new RegExp(`(?:^|,)\\s*(${PAIR.source}(?:\\s*;\\s*${PAIR.source})*)$`);
/** `[IPV6]`, with or without a port. A port may be obfuscated (RFC 7239, section 6). */
const BRACKETED = /^\[([^\]]*)\](?::[\w.-]*)?$/;
/** A port without brackets, as CloudFront writes it. After IPv6 it may be part of the address. */
const PORT = /(?<=[\da-f]):(?:\d{1,5}|_[\w.-]+)$/i;
/** The zone of a link-local address (RFC 4007, section 11). */
const ZONE = /%.*$/;

/** Returns the address in the last entry; undefined if it has none. */
export function readForwarded(listed: string): Address | undefined {
  // Nearly always the header is a bare address.
  const bare = readAddress(listed);
  if (bare) return bare;
  const node = lastNode(listed);
  const host = (BRACKETED.exec(node)?.[1] ?? node).replace(ZONE, "");
  return readAddress(host) ?? readAddress(host.replace(PORT, ""));
}

/** Returns why a header has no address, without the header's own text. */
export function whyNoAddress(listed: string | null): string {
  if (listed === null) return "it is absent";
  const node = lastNode(listed);
  if (!node) return listed.includes("=") ? "its last entry has no for=" : "it is empty";
  if (/^unknown/i.test(node)) return 'its last entry is "unknown"';
  if (node.startsWith("_")) return "its last entry is hidden (RFC 7239, section 6.3)";
  return "its last entry is not an address";
}

/** Returns the client in the last entry that is not empty (RFC 9110, section 5.6.1). */
function lastNode(listed: string): string {
  const text = trimEnd(listed, /[ \t,;]/);
  const element = text.includes("=") ? LAST_ELEMENT.exec(text)?.[1] : undefined;
  if (element === undefined) return unquoted(text.slice(text.lastIndexOf(",") + 1));
  const nodes = [...element.matchAll(PAIR)].filter(([, name]) => name?.toLowerCase() === "for");
  const [[, , quoted, token = ""] = []] = nodes;
  return nodes.length === 1 ? (quoted ?? token).replace(/\\(.)/g, "$1").trim() : "";
}

function unquoted(entry: string): string {
  return entry.trim().replace(/^"(.*)"$/, "$1");
}
