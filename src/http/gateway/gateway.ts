/**
 * Forwards what may pass to the origin, and its answer back, both as streams.
 *
 * Changes nothing but the address, what ends at a proxy, and what a client claims for the gate:
 * methods, bodies, upgrades and all other headers pass as they are, and the path as the URL standard
 * writes it, dots resolved and percent-encodings untouched. A client that goes away ends the request
 * to the origin too.
 */

import type { Context } from "hono";
import { parseUrl } from "../../limit/url.ts";
import { logSeldom } from "../../log.ts";
import { allowEveryPage } from "../answer/cors.ts";
import { problem } from "../answer/problem.ts";
import { refusePath } from "../answer/refusal.ts";
import { isCopyable } from "../answer/response.ts";
import {
  connectionOptions,
  type ForwardedOptions,
  HOP_BY_HOP,
  headersForOrigin,
} from "./origin-headers.ts";
import { publicHeaders } from "./public-address.ts";

/** Leaves encoded bodies as they are, even where they pass through a stream of ours. */
const RAW = { encodeResponseBody: "manual" } as const;

/** The way to an origin. */
export interface Route {
  /** Where a request for a public URL goes. */
  urlFor(url: URL): URL;
  fetch(request: Request, init: RequestInit): Promise<Response>;
  /** The origin's own address; undefined where it has none but the public one. */
  base?: URL;
}

/**
 * Returns the way to the origin.
 *
 * @param origin a URL, in front of whose path and query its own path goes; or `"zone"`: where the
 *   request would have gone had there been no Worker on its route
 */
export function routeTo(origin: string): Route {
  if (origin === "zone") return { urlFor: zoneUrl, fetch: (...sent) => fetch(...sent) };
  const base = new URL(origin);
  const prefix = base.pathname.replace(/\/$/, "");
  return {
    base,
    urlFor({ pathname, search, href }) {
      const url = new URL(base);
      url.pathname = prefix + pathname;
      url.search = search || (href.endsWith("?") ? "?" : "");
      return url;
    },
    fetch: (...sent) => fetch(...sent),
  };
}

/** Returns the way to a service binding. */
export function routeToService(service: Fetcher): Route {
  return { urlFor: (url) => url, fetch: (...sent) => service.fetch(...sent) };
}

function zoneUrl(url: URL): URL {
  // There such a request would come back to this Worker, and again.
  if (/^localhost$|^127\.|^\[|\.workers\.dev$/.test(url.hostname)) {
    throw new Error(
      `ORIGIN is "zone", and ${url.hostname} is the Worker's own address, not a zone's`,
    );
  }
  return url;
}

/** Makes the handler that forwards every request. */
export function gateway(route: Route, options: ForwardedOptions) {
  const rewriteHeaders = headersForOrigin(options);
  return async function gateway(c: Context): Promise<Response> {
    const { raw } = c.req;
    // Dots that are left in a path would be resolved later, out of an origin's own path.
    const url = parseUrl(raw.url);
    if (!url) {
      allowEveryPage(c);
      return refusePath();
    }
    try {
      const request = new Request(route.urlFor(url), raw);
      rewriteHeaders(request.headers, url);
      // The runtime does not pass an incoming request's own signal on, only one that depends on it.
      const signal = AbortSignal.any([raw.signal]);
      const answer = await route.fetch(request, { ...RAW, signal });
      return responseForClient(answer, route.base, url);
    } catch (error) {
      if (!raw.signal.aborted) {
        logSeldom("error", "origin-failed", "", { detail: String(error) });
      }
      allowEveryPage(c);
      const detail = "The origin did not answer.";
      return problem({ status: 502, title: "Bad gateway", detail });
    }
  };
}

/**
 * The origin's answer as the client gets it.
 *
 * An answer that cannot be made anew, an upgrade or one with a status above 599, passes as it is.
 */
function responseForClient(answer: Response, base: URL | undefined, url: URL): Response {
  if (answer.webSocket || !isCopyable(answer)) return answer;
  // A copy can be written on. To write the fields onto what `fetch` gave takes a copy anyway.
  const copy = new Response(answer.body, answer);
  for (const name of [...HOP_BY_HOP, ...connectionOptions(answer.headers)]) {
    if (answer.headers.has(name)) copy.headers.delete(name);
  }
  const changes = base ? publicHeaders(answer.headers, base, url) : [];
  for (const [name, values] of changes) {
    copy.headers.delete(name);
    for (const value of values) copy.headers.append(name, value);
  }
  return copy;
}
