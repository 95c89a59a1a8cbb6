/**
 * Tells the origin the public host, the scheme, and the client's address.
 *
 * A client can send such headers itself, under many names. The gate forwards none of them: an
 * origin that trusts one would link to the attacker's host, or log a forged address. The price:
 * behind another proxy, the origin is told that proxy's host and scheme, unless `FORWARDED` is
 * `"keep"`.
 */
import type { ForwardedForm } from "../../config.ts";
import { isIpv6 } from "../../limit/address-list.ts";
import { clientAddress } from "../key/identity.ts";

export interface ForwardedOptions {
  forwarded: ForwardedForm;
  /** The header with the client's address. */
  ipHeader: string;
}

/** Hop-by-hop headers (RFC 9110, section 7.6.1), but those that the runtime removes itself. */
export const HOP_BY_HOP: readonly string[] = [
  ...["keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"],
  ...["te", "trailer"],
];

/**
 * Some servers read the path or the method from these headers, but policies read the request line.
 * `X-Middleware-Prefetch` stays, since the pages of Next.js send it.
 */
const PATH_OVERRIDES =
  "x-(?:.+-)?(?:original|rewrit(?:e|ten)|override|replaced|request|forwarded|real|matched|unencoded)-(?:url|uri|path|prefix|method)|" +
  "x-(?:invoke|now-route|waws|middleware(?!-prefetch$))-.+|" +
  "x-http-destinationurl|(?:x-)?script-name|x-accel-mapping|x-sendfile-type|" +
  // Spelled with dashes, these pass: `RuleMatcher` counts the request under both methods.
  "(?=.*_)x-(?:http-)?method(?:-override)?";

/** From these headers, servers read the client's address, the public host, and the scheme. */
const CLIENT_CLAIMS =
  "(?:.+-)?forwarded(?:-.+)?|(?:.+-)?forward-for|" +
  // `CF-Connecting-IP` and `-IPv6` stay, since Cloudflare writes them.
  "(?!cf-connecting-)(?:.+-)?(?:real|true|client|connecting|connection|socket|remote|peer|viewer|visitor|source|src|original|originating|proxyuser|appengine-user)" +
  "-?(?:ip(?:v[46])?|(?:ip-?)?addr(?:ess)?|port)|" +
  "x-envoy-(?:external-address|internal)|" +
  "x-(?:(?:original|http|real|url|request|client)-)?(?:host|port|proto|protocol|scheme)(?:-override)?|" +
  "(?:.+-)?(?:https|ssl)|x-arr-.+|" +
  // Cloudflare's own headers have no underscore.
  "cf-.*_.*|cf_.*";

const DROPPED_WITH_KEEP = pattern(...HOP_BY_HOP, PATH_OVERRIDES);
const DROPPED = pattern(...HOP_BY_HOP, PATH_OVERRIDES, CLIENT_CLAIMS);

/** Names of headers (RFC 9110, section 5.6.2). */
const HEADER_NAMES = /[\w!#$%&'*+.^`|~-]+/g;

/**
 * Headers that proxies in front of the gate set. A client must not be able to remove them by
 * listing them in `Connection`.
 */
const PROXY_HEADERS = /^(?:upgrade|host|cf-.*|x-forwarded-.*|x-real-ip|true-client-ip)$/;

/**
 * Makes the function that changes the headers of a client's request for the origin.
 *
 * `Forwarded` (RFC 7239) gets `for`, `host` and `proto`. Without a readable address of the client,
 * there is no `X-Forwarded-For`, and `for=unknown` in `Forwarded`.
 *
 * @example
 * const rewriteHeaders = headersForOrigin({ forwarded: "x-forwarded", ipHeader: "CF-Connecting-IP" });
 * rewriteHeaders(headers, new URL("https://shop.example/x"));
 */
export function headersForOrigin({ forwarded, ipHeader }: ForwardedOptions) {
  const dropped = forwarded === "keep" ? DROPPED_WITH_KEEP : DROPPED;
  const writesX = forwarded === "x-forwarded" || forwarded === "both";
  const writesForwarded = forwarded === "forwarded" || forwarded === "both";
  // Cloudflare's own header has one address. Another may be a list that a client has begun.
  const isOtherHeader = !/^cf-/i.test(ipHeader) && forwarded !== "keep";

  return function rewriteHeaders(headers: Headers, { protocol, host }: URL): void {
    const address =
      writesX || writesForwarded || isOtherHeader
        ? clientAddress(headers, { ipHeader })
        : undefined;
    for (const name of removedByConnection(headers)) headers.delete(name);
    for (const name of [...headers.keys()]) if (dropped.test(name)) headers.delete(name);
    if (isOtherHeader) {
      if (address) headers.set(ipHeader, address);
      else headers.delete(ipHeader);
    }
    const proto = protocol.slice(0, -1);
    if (writesX) {
      if (address) headers.set("X-Forwarded-For", address);
      headers.set("X-Forwarded-Host", host);
      headers.set("X-Forwarded-Proto", proto);
    }
    if (writesForwarded) {
      headers.set("Forwarded", `for=${node(address)};host="${host}";proto=${proto}`);
    }
  };
}

/** Returns the headers that `Connection` lists, in lower case: they are hop-by-hop too. */
export function connectionOptions(headers: Headers): string[] {
  return headers.get("Connection")?.toLowerCase().match(HEADER_NAMES) ?? [];
}

/** Returns the headers of a request that its `Connection` keeps from the origin. */
export function removedByConnection(headers: Headers): string[] {
  return connectionOptions(headers).filter((name) => !PROXY_HEADERS.test(name));
}

/** Returns the address as RFC 7239, section 6, writes it. */
function node(address: string | undefined): string {
  if (!address) return "unknown";
  return isIpv6(address) ? `"[${address}]"` : address;
}

/** Makes a pattern for names. CGI, WSGI, Rack and PHP read a dash and an underscore alike. */
function pattern(...names: string[]): RegExp {
  return new RegExp(`^(?:${names.join("|").replaceAll("-", "[-_]")})$`);
}
