/** What no limiter can deny faster than: the answer that Turnpike denies with, and no limiter. */
import { Hono } from "hono";
import { counts, limit, windowSeconds } from "./settings.ts";

const DAYS = windowSeconds / 86_400;
const BODY = JSON.stringify({
  type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
  title: "Too many requests",
  status: 429,
  detail: `The quota is ${limit} per ${DAYS}d. Try again in ${windowSeconds} s.`,
  "violated-policies": ["default"],
});
const headers = new Headers({
  "RateLimit-Policy": `"default";q=${limit};w=${windowSeconds}`,
  RateLimit: `"default";r=0;t=${windowSeconds}`,
  "Retry-After": String(windowSeconds),
  "Cache-Control": "no-store",
  Vary: "Accept",
  "Content-Type": "application/problem+json",
});

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.get("/", () => new Response(BODY, { status: 429, headers }));

export default app;
