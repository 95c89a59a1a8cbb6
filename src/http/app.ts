/** The deployed Worker's Hono: small, with one kind of router, and for any status. */

import type { Context, Next } from "hono";
import { HonoBase } from "hono/hono-base";
import { PatternRouter } from "hono/router/pattern-router";
import { logSeldom } from "../log.ts";
import { problem } from "./answer/problem.ts";
import { isCopyable, replaceResponse } from "./answer/response.ts";

/** Answers to HEAD with a status that Hono cannot copy. */
const headResponses = new WeakMap<Request, Response>();

/** Makes an app with the smallest router: few routes need none that is fast with many. */
export function newApp(): HonoBase {
  return new HonoBase({ router: new PatternRouter() });
}

/** Answers what nobody thought of. Hono would write a line for each such request. */
export function internalError(error: Error): Response {
  logSeldom("error", "request-failed", "", { detail: String(error) });
  return problem({ status: 500, title: "Internal error", detail: "This is a mistake of ours." });
}

/** Goes on to the next handler, and sets an answer aside that Hono could not give to HEAD. */
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
 * Returns the app's `fetch`, which answers HEAD with any status that an origin sends. Hono answers
 * HEAD with a copy, and code can make none with a status above 599.
 */
export function anyStatusToHead(app: HonoBase) {
  return (request: Request, env: Env, context: ExecutionContext) => {
    const answer = app.fetch(request, env, context);
    if (request.method !== "HEAD") return answer;
    return Promise.resolve(answer).then((copy) => headResponses.get(request) ?? copy);
  };
}
