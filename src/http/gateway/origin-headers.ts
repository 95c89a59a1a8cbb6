/**
 * What the origin learns of the request as the client made it: the public host, the scheme, and
 * the address that the gate itself takes for the client's.
 *
 * A client writes such headers as it likes, under many names. The gate passes on none of them: an
 * origin that believes one would build links to the attacker's host, or log a forged address. The
 * price: behind a proxy of one's own, the origin learns what that proxy asked the gate for, unless
 * `FORWARDED` is `"keep"`.
 */
import type { ForwardedForm } from "../../config.ts";
import { isIpv6 } from "../../limit/address-list.ts";
import { clientAddress } from "../key/identity.ts";

export interface ForwardedOptions {
  /** How the origin is told. */
  forwarded: ForwardedForm;
  /** The header that names the client. */
  ipHeader: string;
}

/**
 * What ends at each proxy (RFC 9110, section 7.6.1), `Connection` and `Upgrade` aside, which the
 * runtime sees to.
 */
export const HOP_BY_HOP: readonly string[] = [
  ...["keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"],
  ...["te", "trailer"],
];

/**
 * Some servers take the path or the method from these, and policies look at the request line.
 * Pages of Next.js send `X-Middleware-Prefetch` themselves.
 */
const RENAMES =
  "x-(?:.+-)?(?:original|rewrit(?:e|ten)|override|replaced|request|forwarded|real|matched|unencoded)-(?:url|uri|path|prefix|method)|" +
  "x-(?:invoke|now-route|waws|middleware(?!-prefetch$))-.+|" +
  "x-http-destinationurl|(?:x-)?script-name|x-accel-mapping|x-sendfile-type|" +
  // With dashes they are counted as what they name, see the rule book.
  "(?=.*_)x-(?:http-)?method(?:-override)?";

/** Under these names servers look for the client's address, the public host, and the scheme. */
const CLAIMS =
  "(?:.+-)?forwarded(?:-.+)?|(?:.+-)?forward-for|" +
  // Cloudflare's own stays.
  "(?!cf-connecting-)(?:.+-)?(?:real|true|client|connecting|connection|socket|remote|peer|viewer|visitor|source|src|original|originating|proxyuser|appengine-user)" +
  "-?(?:ip(?:v[46])?|(?:ip-?)?addr(?:ess)?|port)|" +
  "x-envoy-(?:external-address|internal)|" +
  "x-(?:(?:original|http|real|url|request|client)-)?(?:host|port|proto|protocol|scheme)(?:-override)?|" +
  "(?:.+-)?(?:https|ssl)|x-arr-.+|" +
  // Of Cloudflare's own headers none has an underscore.
  "cf-.*_.*|cf_.*";

const ENDING = pattern(...HOP_BY_HOP, RENAMES);
const ENDING_OR_CLAIMED = pattern(...HOP_BY_HOP, RENAMES, CLAIMS);

/** Names of headers (RFC 9110, section 5.6.2). */
const HEADER_NAMES = /[\w!#$%&'*+.^`|~-]+/g;

/** Said by those in front of the gate: no client may have it taken off by naming it. */
const PROXY_HEADERS = /^(?:upgrade|host|cf-.*|x-forwarded-.*|x-real-ip|true-client-ip)$/i;

/**
 * Makes the function that turns the headers of a client's request into those for the origin.
 *
 * Of `Forwarded` (RFC 7239) it writes `for`, `host` and `proto`. A client without a readable
 * address has no `X-Forwarded-For`, and is `unknown` in `Forwarded`.
 *
 * @example
 * const rewriteHeaders = headersForOrigin({ forwarded: "x-forwarded", ipHeader: "CF-Connecting-IP" });
 * rewriteHeaders(headers, new URL("https://shop.example/x"));
 */
export function headersForOrigin({ forwarded, ipHeader }: ForwardedOptions) {
  const dropped = forwarded === "keep" ? ENDING : ENDING_OR_CLAIMED;
  const writesX = forwarded === "x-forwarded" || forwarded === "both";
  const writesForwarded = forwarded === "forwarded" || forwarded === "both";
  // Cloudflare's own is always one address. Another may be a list that a client began.
  const isOthers = !/^cf-/i.test(ipHeader) && forwarded !== "keep";

  return function rewriteHeaders(headers: Headers, { protocol, host }: URL): void {
    const address =
      writesX || writesForwarded || isOthers ? clientAddress(headers, { ipHeader }) : undefined;
    for (const name of connectionOptions(headers))
      if (!PROXY_HEADERS.test(name)) headers.delete(name);
    for (const name of [...headers.keys()]) if (dropped.test(name)) headers.delete(name);
    if (isOthers) {
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

/** Returns the headers that `Connection` names, which end here too. */
export function connectionOptions(headers: Headers): string[] {
  return headers.get("Connection")?.match(HEADER_NAMES) ?? [];
}

/** An address as RFC 7239, section 6, writes it. */
function node(address: string | undefined): string {
  if (!address) return "unknown";
  return isIpv6(address) ? `"[${address}]"` : address;
}

/** Gateways of CGI's kind (WSGI, Rack, PHP) read a dash and an underscore alike. */
function pattern(...names: string[]): RegExp {
  return new RegExp(`^(?:${names.join("|").replaceAll("-", "[-_]")})$`);
}
