/**
 * What stands behind the limit where no origin does: a page on which a person sees the count go
 * down, and the same in JSON for a script. Answers every path and method.
 */
import type { Context } from "hono";
import { prefersHtml } from "../http/answer.ts";
import type { RateLimitEnv } from "../http/rate-limit.ts";
import page from "./demo.html";

export function demo(c: Context<Partial<RateLimitEnv>>): Response | Promise<Response> {
  const decision = c.var.decision;
  c.header("Cache-Control", "no-store");
  c.header("Vary", "Accept");
  if (!decision || !prefersHtml(c)) {
    const message = "Turnpike let this request pass. Set ORIGIN to put your own site behind it.";
    return c.json({ message, decision });
  }
  const nonce = crypto.randomUUID();
  const own = `'nonce-${nonce}'`;
  c.header(
    "Content-Security-Policy",
    `default-src 'none'; script-src ${own}; style-src ${own}; img-src data:; connect-src 'self'`,
  );
  const values: Record<string, string | number> = {
    nonce,
    limit: decision.limit,
    remaining: decision.remaining,
    seconds: Math.ceil(decision.resetMs / 1_000),
    url: new URL(c.req.url).origin,
  };
  return c.html(page.replace(/\{\{(\w+)\}\}/g, (_, name: string) => String(values[name])));
}
