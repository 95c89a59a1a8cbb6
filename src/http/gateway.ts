/**
 * Forwards what may pass to the origin, and its answer back, both as streams.
 *
 * Changes nothing but the address and what ends at a proxy: methods, bodies, redirects, upgrades and
 * all other headers pass as they are, and the path as the URL standard writes it, dots resolved and
 * percent-encodings untouched. A client that goes away ends the request to the origin too.
 */
import type { Context } from "hono";
import { logSeldom } from "../log.ts";
import { problem } from "./problem.ts";

const FIELDS = ["RateLimit", "RateLimit-Policy"];

/**
 * What ends at each proxy (RFC 9110, section 7.6.1), `Connection` and `Upgrade` aside, which the
 * runtime sees to.
 */
const HOP_BY_HOP = [
  "Keep-Alive",
  "Proxy-Authenticate",
  "Proxy-Authorization",
  "Proxy-Connection",
  "TE",
  "Trailer",
];

/** Names of headers (RFC 9110, section 5.6.2). */
const TOKENS = /[\w!#$%&'*+.^`|~-]+/g;

/** Said by those in front of the gate: no client may have it taken off by naming it. */
const KEPT = /^(?:upgrade|host|cf-.*|x-forwarded-.*|x-real-ip|true-client-ip)$/i;

export type Forward = (request: Request) => Promise<Response>;

/**
 * Returns the way to the origin.
 *
 * @param origin a URL, in front of whose path and query its own path goes; or `"zone"`: where the
 *   request would have gone had there been no Worker on its route
 */
export function forwardTo(origin: string): Forward {
  if (origin === "zone") return fetchFromZone;
  const base = new URL(origin);
  return (request) => {
    const { pathname, search, href } = new URL(request.url);
    const url = new URL(base);
    url.pathname = base.pathname.replace(/\/$/, "") + pathname;
    url.search = search || (href.endsWith("?") ? "?" : "");
    return fetch(new Request(url, request));
  };
}

async function fetchFromZone(request: Request): Promise<Response> {
  const { hostname } = new URL(request.url);
  // There such a request would come back to this Worker, and again.
  if (/^localhost$|^127\.|^\[|\.workers\.dev$/.test(hostname)) {
    throw new Error(`ORIGIN is "zone", and ${hostname} is the Worker's own address, not a zone's`);
  }
  return fetch(request);
}

/** Makes the handler that forwards every request. */
export function gateway(forward: Forward) {
  return async function gateway(c: Context): Promise<Response> {
    const { signal, headers } = c.req.raw;
    try {
      const options = { signal, redirect: "manual", headers: without(headers) } as const;
      // Dots that are left in a path would be resolved later, out of an origin's own path.
      const url = new URL(c.req.url);
      const answer = await forward(new Request(url, new Request(c.req.raw, options)));
      return cleared(answer);
    } catch (error) {
      if (!signal.aborted) {
        logSeldom("error", "origin-failed", "", { detail: String(error) });
      }
      const detail = "The origin did not answer.";
      return problem({ status: 502, title: "Bad gateway", detail });
    }
  };
}

/**
 * An origin's own limits are not this one's, and in an older form would make its fields unreadable.
 */
function cleared(answer: Response): Response {
  const names = [...FIELDS, ...hopByHop(answer.headers)];
  if (answer.webSocket || !names.some((name) => answer.headers.has(name))) return answer;
  const copy = new Response(answer.body, answer);
  for (const name of names) copy.headers.delete(name);
  return copy;
}

function without(headers: Headers): Headers {
  const copy = new Headers(headers);
  for (const name of hopByHop(headers)) copy.delete(name);
  return copy;
}

function hopByHop(headers: Headers): string[] {
  const named = headers.get("Connection")?.match(TOKENS) ?? [];
  return [...HOP_BY_HOP, ...named.filter((name) => !KEPT.test(name))];
}
