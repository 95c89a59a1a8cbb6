/**
 * Answers where no origin is set: a page that shows how requests are counted, and the same as JSON
 * for a script. It answers every path and method, allowed or denied.
 */
import type { MiddlewareHandler } from "hono";
import type { Caller } from "../caller/caller.ts";
import { prefersHtml } from "../http/answer/page.ts";
import { clientAddress } from "../http/key/identity.ts";
import { RuleMatcher } from "../http/match/rule-matcher.ts";
import type { RateLimitEnv } from "../http/rate-limit.ts";
import type { Rule } from "../http/rule-functions.ts";
import { questionsOf } from "../http/rules.ts";
import type { LimiterConfig } from "../limiter-config.ts";
import { WORKERS } from "../runtime.ts";
import page from "./demo.html";
import { pageResponse } from "./page-response.ts";
import whatIf from "./what-if.txt";

interface DemoEnv extends RateLimitEnv {
  Variables: RateLimitEnv["Variables"] & { startMs: number };
}

/**
 * Stands before the limiter: turns its answer, and a refusal too, into the page.
 *
 * @param hasLive whether there is a live page to point to
 */
export function demoPage(hasLive: boolean): MiddlewareHandler<DemoEnv> {
  return async (c, next) => {
    c.set("startMs", WORKERS.now());
    await next();
    const { status, headers } = c.res;
    if (!(status === 200 || status === 429) || !prefersHtml(c)) return;
    const values = {
      status: String(status),
      policy: escaped(headers.get("RateLimit-Policy")),
      quota: escaped(headers.get("RateLimit")),
      timing: escaped(headers.get("Server-Timing")),
      url: escaped(new URL(c.req.url).origin),
      live: String(hasLive),
      // Its place is a comment, so that the page is readable as it stands.
      whatIf: `\n${whatIf}`,
    };
    // Else Hono would merge the headers of the answer before.
    c.res = undefined;
    c.res = pageResponse(page, values, { status, headers });
  };
}

/**
 * Stands behind the limiter: answers a request that passed, and says which owner counted it.
 *
 * @param rules returns those in force
 */
export function demoAnswer(
  caller: Caller,
  rules: () => readonly Rule[],
  config: LimiterConfig,
): MiddlewareHandler<DemoEnv> {
  return async (c) => {
    const matcher = new RuleMatcher(rules());
    const { decision, startMs } = c.var;
    const tookMs = WORKERS.now() - startMs;
    const address = clientAddress(c.req.raw.headers, config);
    const questions = questionsOf(c, matcher.match(c) ?? [], address, config);
    // The page goes on without the name if the owner does not answer.
    const explained = await caller.explain(questions).catch(() => []);
    const timings = explained.map(({ owner }) => `owner;desc="${owner}";dur=${tookMs}`);
    if (timings.length > 0) c.header("Server-Timing", timings.join(", "));
    c.header("Cache-Control", "no-store");
    c.header("Vary", "Accept");
    c.header("X-Content-Type-Options", "nosniff");
    const message = "Turnpike let this request pass. Set ORIGIN to put your own site behind it.";
    return c.json({ message, decision });
  };
}

function escaped(text: string | null): string {
  return (text ?? "").replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
