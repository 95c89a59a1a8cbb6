/** Refusals as a page, for a person's browser. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

/** A refusal's page has no script and loads nothing. */
const PAGE_HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};

/** The media ranges that match what a refusal can be: a page, or JSON. */
const FORM = /^text\/(?:html|\*)$|^application\/(?:json|problem\+json|\*)$/;

const MAX_ACCEPT_CHARS = 1_024;
/** A media range and its weight (RFC 9110, section 12.5.1). */
const RANGE = /^\s*([^\s;]+)(?:.*;\s*q\s*=\s*([\d.]+))?/i;

/**
 * Returns true if the client prefers a page, as browsers do; scripts seldom name a type. A long
 * `Accept` is not read, since no browser writes one and each entry takes time.
 */
export function prefersHtml(c: Context): boolean {
  const accept = c.req.header("Accept") ?? "";
  if (accept.length > MAX_ACCEPT_CHARS) return false;
  let preferred = "";
  let most = 0;
  for (const entry of accept.toLowerCase().split(",")) {
    const [, range = "", weight = 1] = RANGE.exec(entry) ?? [];
    if (!FORM.test(range) || !(Number(weight) > most)) continue;
    preferred = range;
    most = Number(weight);
  }
  return preferred.startsWith("text/");
}

/** Answers with a page. It must not have a client's text, since nothing is escaped. */
export function page(
  c: Context,
  { status, title, detail }: { status: ContentfulStatusCode; title: string; detail: string },
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  const text = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body { font: 1.1rem/1.5 system-ui; max-width: 32rem; margin: 20vh auto; padding: 0 1rem; color-scheme: light dark }</style>
<h1>${title}</h1>
<p>${detail}
`;
  return c.html(text, status, { ...PAGE_HEADERS, ...headers });
}
