/**
 * What stands behind the limit where no origin does: a page on which a person sees the count go
 * down, and the same in JSON for a script. Answers every path and method.
 */

import type { Context } from "hono";
import { prefersHtml } from "../answer/page.ts";
import type { RateLimitEnv } from "../rate-limit.ts";
import page from "./demo.html";

export function demo(c: Context<Partial<RateLimitEnv>>): Response | Promise<Response> {
  const decision = c.var.decision;
  c.header("Cache-Control", "no-store");
  c.header("Vary", "Accept");
  c.header("X-Content-Type-Options", "nosniff");
  if (!decision || !prefersHtml(c)) {
    const message = "Turnpike let this request pass. Set ORIGIN to put your own site behind it.";
    return c.json({ message, decision });
  }
  const nonce = crypto.randomUUID();
  for (const [name, value] of Object.entries(protection(nonce))) c.header(name, value);
  const values: Record<string, string | number> = {
    nonce,
    limit: decision.limit,
    remaining: decision.remaining,
    seconds: Math.ceil(decision.resetMs / 1_000),
    url: new URL(c.req.url).origin,
  };
  return c.html(page.replace(/\{\{(\w+)\}\}/g, (_, name: string) => String(values[name])));
}

/** Nothing runs or loads but the page's own, nobody frames it, and it tells nobody its address. */
function protection(nonce: string): Record<string, string> {
  const own = `'nonce-${nonce}'`;
  return {
    "Content-Security-Policy": [
      "default-src 'none'",
      `script-src ${own}`,
      `style-src ${own}`,
      "img-src data:",
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    "Referrer-Policy": "no-referrer",
  };
}
