/** What no limiter can deny faster than: the answer that Turnpike denies with, and no limiter. */
import { Hono } from "hono";
import { per, spoken } from "../../../src/limit/duration.ts";
import { counts, limit, windowSeconds } from "./settings.ts";

const windowMs = 1_000 * windowSeconds;
const BODY = JSON.stringify({
  type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
  title: "Too many requests",
  status: 429,
  detail: `The quota is ${limit} ${per(windowMs)}. Try again in ${spoken(windowMs)}.`,
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
