/**
 * Answers where no origin is set: a page that shows the count go down, and the same as JSON for a
 * script. It answers every path and method.
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

/** Returns headers that allow only the page's own script and style, no frames, and no referrer. */
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
