/** The Hono of the deployed Worker and of the API: one small router, any status. */

import type { Context, Next } from "hono";
import { HonoBase } from "hono/hono-base";
import { PatternRouter } from "hono/router/pattern-router";
import { parseUrl } from "../limit/url.ts";
import { logSeldom } from "../log.ts";
import { problem } from "./answer/problem.ts";
import { refusePathOf } from "./answer/refusal.ts";
import { isCopyable, replaceResponse } from "./answer/response.ts";

/** Responses to HEAD with a status that Hono cannot copy. */
const headResponses = new WeakMap<Request, Response>();

/** Makes an app with Hono's smallest router, since there are few routes. */
export function newApp(): HonoBase {
  return new HonoBase({ router: new PatternRouter() });
}

/** Answers an unexpected exception. Hono would log each one; `logSeldom` bounds the lines. */
export function internalError(error: Error): Response {
  logSeldom("error", "request-failed", "", { detail: String(error) });
  return problem({ status: 500, title: "Internal error", detail: "This is a mistake of ours." });
}

/**
 * Returns the handler for `OPTIONS *`, whose URL is the host and the asterisk, and so has no route. It
 * goes to the root, so that policies count it.
 */
export function passAsterisk(app: HonoBase) {
  return (c: Context): Response | Promise<Response> => {
    const root = parseUrl(c.req.url.slice(0, -1));
    if (!root) return refusePathOf(c);
    return app.fetch(new Request(root, c.req.raw));
  };
}

/** Runs the next handler. Keeps a response to HEAD that Hono cannot copy, for `anyStatusToHead`. */
export function passHead(c: Context, next: Next): Promise<void> {
  const { raw } = c.req;
  if (raw.method !== "HEAD") return next();
  return next().then(() => {
    if (isCopyable(c.res)) return;
    headResponses.set(raw, c.res);
    replaceResponse(c, new Response());
  });
}

/**
 * Returns the app's `fetch`, which answers HEAD with any status that an origin sends. Hono copies
 * the response to HEAD, and code cannot make a copy with a status above 599.
 */
export function anyStatusToHead(app: HonoBase) {
  return (request: Request, env: object, context: ExecutionContext) => {
    const answer = app.fetch(request, env, context);
    if (request.method !== "HEAD") return answer;
    return Promise.resolve(answer).then((copy) => headResponses.get(request) ?? copy);
  };
}
