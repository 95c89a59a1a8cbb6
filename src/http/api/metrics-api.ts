/** `GET /_turnpike/metrics`: what the limiter counted of itself, for Prometheus. */
import type { HonoBase } from "hono/hono-base";
import { wrongMethod } from "../answer/problem.ts";
import { newApp } from "../app.ts";
import { answerError } from "./api-error.ts";
import { type Authorize, requireScope } from "./authorization.ts";

/** Version 0.0.4 is the text format that every Prometheus reads. */
const TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8";

/** @param read returns the metrics as text */
export function metricsApi(authorized: Authorize, read: () => Promise<string>): HonoBase {
  const app = newApp();
  app.onError(answerError);
  app.use(authorized, requireScope("metrics"));
  app.get("/", async (c) => c.body(await read(), 200, { "Content-Type": TEXT_FORMAT }));
  app.all("/", () => wrongMethod("GET, HEAD"));
  return app;
}
