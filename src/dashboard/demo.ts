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

export interface DemoOptions {
  caller: Caller;
  config: LimiterConfig;
  /** Returns the rules in force. */
  rules: () => readonly Rule[];
  /** Whether there is a live page to point to. */
  hasLive: boolean;
}

/**
 * Stands before the limiter: says which owner counted, and turns the answer, and a refusal too, into
 * the page. A script that is refused is not told the owner: that would be a call for each refusal.
 */
export function demoPage({ caller, config, rules, hasLive }: DemoOptions): MiddlewareHandler {
  return async (c, next) => {
    const startMs = WORKERS.now();
    await next();
    const tookMs = WORKERS.now() - startMs;
    const { status, headers } = c.res;
    const isPage = prefersHtml(c);
    if (!(status === 200 || (status === 429 && isPage))) return;
    const address = clientAddress(c.req.raw.headers, config);
    const questions = questionsOf(c, new RuleMatcher(rules()).match(c) ?? [], address, config);
    // The page goes on without the name if the owner does not answer.
    const explained = await caller.explain(questions).catch(() => []);
    const timings = explained.map(({ owner }) => `owner;desc="${owner}";dur=${tookMs}`);
    if (timings.length > 0) c.header("Server-Timing", timings.join(", "));
    if (!isPage) return;
    const values = {
      status: String(status),
      policy: escaped(headers.get("RateLimit-Policy")),
      quota: escaped(headers.get("RateLimit")),
      timing: escaped(timings.join(", ")),
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

/** Stands behind the limiter: answers a request that passed. */
export const demoAnswer: MiddlewareHandler<RateLimitEnv> = async (c) => {
  c.header("Cache-Control", "no-store");
  c.header("Vary", "Accept");
  c.header("X-Content-Type-Options", "nosniff");
  const message = "Turnpike let this request pass. Set ORIGIN to put your own site behind it.";
  return c.json({ message, decision: c.var.decision });
};

function escaped(text: string | null): string {
  return (text ?? "").replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
