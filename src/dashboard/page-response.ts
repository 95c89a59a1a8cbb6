/** A page with its own style and script, which loads nothing else. */
import style from "./style.css.txt";

/** What both pages have in their tab. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%2315803d' stroke-width='3' stroke-linecap='round'%3E%3Cpath d='M5 21V8m14 13v-8M5 9l16-5'/%3E%3C/svg%3E";

/**
 * Fills in a page's places, such as `{{nonce}}`, and answers with it.
 *
 * @param values texts that are safe where they stand
 */
export function pageResponse(
  page: string,
  values: Record<string, string>,
  { status = 200, headers: before = {} }: { status?: number; headers?: HeadersInit } = {},
): Response {
  const nonce = crypto.randomUUID();
  const all: Record<string, string> = { ...values, nonce, icon: ICON, style: inComment(style) };
  const text = page.replace(/\{\{(\w+)\}\}/g, (_, name: string) => all[name] ?? "");
  const headers = new Headers(before);
  headers.delete("Content-Length");
  for (const [name, value] of Object.entries(protection(nonce))) headers.set(name, value);
  return new Response(text, { status, headers });
}

/** Makes CSS fill a place that is a comment, so that a page is readable as it stands. */
export function inComment(css: string): string {
  return `*/\n${css}/*`;
}

/** Returns headers that allow only the page's own script and style, no frames, and no referrer. */
function protection(nonce: string): Record<string, string> {
  const own = `'nonce-${nonce}'`;
  return {
    "Content-Type": "text/html; charset=UTF-8",
    "Cache-Control": "no-store",
    Vary: "Accept",
    "X-Content-Type-Options": "nosniff",
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
