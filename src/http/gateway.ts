/**
 * Forwards what may pass to the origin, and its answer back, both as streams.
 *
 * Changes nothing but the address: methods, headers, bodies, redirects and upgrades pass as they
 * are. A client that goes away ends the request to the origin too.
 */
import type { Context } from "hono";
import { problem } from "./problem.ts";

const FIELDS = ["RateLimit", "RateLimit-Policy"];

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
    const { pathname, search } = new URL(request.url);
    const url = new URL(base);
    url.pathname = base.pathname.replace(/\/$/, "") + pathname;
    url.search = search;
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
    const { signal } = c.req.raw;
    try {
      const answer = await forward(new Request(c.req.raw, { signal, redirect: "manual" }));
      return withoutFields(answer);
    } catch (error) {
      if (!signal.aborted) {
        console.error(JSON.stringify({ event: "origin-failed", detail: String(error) }));
      }
      const detail = "The origin did not answer.";
      return problem({ status: 502, title: "Bad gateway", detail });
    }
  };
}

/**
 * An origin's own limits are not this one's, and in an older form would make its fields unreadable.
 */
function withoutFields(answer: Response): Response {
  if (!FIELDS.some((name) => answer.headers.has(name))) return answer;
  const copy = new Response(answer.body, answer);
  for (const name of FIELDS) copy.headers.delete(name);
  return copy;
}
