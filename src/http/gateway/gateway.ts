/**
 * Forwards requests to the origin and its responses to the client, both as streams.
 *
 * Methods, bodies, upgrades and headers pass unchanged. Three kinds of headers do not: the host,
 * hop-by-hop headers, and those by which a client could pose as a proxy. The path passes as a URL
 * parser writes it: dots resolved, percent-encodings unchanged. If the client leaves, the request
 * to the origin ends.
 */

import type { Context } from "hono";
import { parseUrl } from "../../limit/url.ts";
import { logSeldom } from "../../log.ts";
import { allowEveryPage } from "../answer/cors.ts";
import { problem } from "../answer/problem.ts";
import { refusePathOf } from "../answer/refusal.ts";
import { isCopyable } from "../answer/response.ts";
import {
  connectionOptions,
  type ForwardedOptions,
  HOP_BY_HOP,
  headersForOrigin,
} from "./origin-headers.ts";
import { publicHeaders } from "./public-address.ts";

/** Keeps encoded bodies encoded, even if they pass through a stream of ours. */
const RAW = { encodeResponseBody: "manual" } as const;

/** How requests reach the origin. */
export interface Route {
  /** Returns the origin's URL for a public URL. */
  urlFor(url: URL): URL;
  fetch(request: Request, init: RequestInit): Promise<Response>;
  /** The origin's own URL; undefined if it has only the public one. */
  base?: URL;
}

/**
 * Returns the route to the origin.
 *
 * @param origin a URL, whose path is put in front of each request's path; or `"zone"`: the server
 *   that would answer if no Worker were on the route
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

export function routeToService(service: Fetcher): Route {
  return { urlFor: (url) => url, fetch: (...sent) => service.fetch(...sent) };
}

function zoneUrl(url: URL): URL {
  // At its own address, the Worker would fetch itself without end.
  if (/^localhost$|^127\.|^\[|\.workers\.dev$/.test(url.hostname)) {
    const { hostname } = url;
    throw new Error(`ORIGIN is "zone", and ${hostname} is the Worker's own address, not a zone's`);
  }
  return url;
}

export function gateway(route: Route, options: ForwardedOptions) {
  const rewriteHeaders = headersForOrigin(options);
  return async function gateway(c: Context): Promise<Response> {
    const { raw } = c.req;
    // Parsing resolves dots. Otherwise they could lead out of the path in `ORIGIN`.
    const url = parseUrl(raw.url);
    if (!url) return refusePathOf(c);
    try {
      const request = new Request(route.urlFor(url), raw);
      rewriteHeaders(request.headers, url);
      // The runtime ignores the signal of an incoming request, and takes one that depends on it.
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
 * Returns the origin's response as the client gets it. An upgrade, and a response that cannot be
 * copied, pass unchanged.
 */
function responseForClient(answer: Response, base: URL | undefined, url: URL): Response {
  if (answer.webSocket || !isCopyable(answer)) return answer;
  // The headers of a response from `fetch` are immutable, and the fields need a copy anyway.
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
