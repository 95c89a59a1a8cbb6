/**
 * The live page at `/_turnpike/`: what the limiter decides, second by second, for an operator.
 *
 * The page itself has no secret. What it shows comes by server-sent events, for a session.
 */
import type { HonoBase } from "hono/hono-base";
import { streamSSE } from "hono/streaming";
import type { Config } from "../config.ts";
import type { EventReader } from "../events/event-reader.ts";
import { problem, wrongMethod } from "../http/answer/problem.ts";
import { type Authorize, requireScope } from "../http/api/authorization.ts";
import { sessionsOf } from "../http/api/session.ts";
import { newApp } from "../http/app.ts";
import type { RingStatus } from "../protocol/rpc.ts";
import page from "./live.html";
import { LiveView, RANGES, type RangeName } from "./live-view.ts";
import { inComment, pageResponse } from "./page-response.ts";
import uplotStyle from "./uplot.css.txt";
import uplot from "./uplot.txt";

/** A page that stays open asks again after this, so that its session is looked at again. */
const STREAM_MS = 600_000;

/**
 * Makes the app at `/_turnpike`.
 *
 * @param ringsOf returns the state of all rings
 */
export function livePage(
  authorized: Authorize,
  config: Config,
  reader: Pick<EventReader, "series" | "top">,
  ringsOf: () => Promise<RingStatus[]>,
): HonoBase {
  const app = newApp();
  const sessions = sessionsOf(config);
  app.get("/", () =>
    pageResponse(page, { uplot: `\n${uplot}`, uplotStyle: inComment(uplotStyle) }),
  );
  app.all("/", () => wrongMethod("GET, HEAD"));
  app.use("/session", authorized, requireScope("admin"));
  app.post("/session", async (c) => {
    c.header("Set-Cookie", await sessions.begin(c.req.url));
    return c.body(null, 204);
  });
  app.delete("/session", (c) => {
    c.header("Set-Cookie", sessions.end(c.req.url));
    return c.body(null, 204);
  });
  app.all("/session", () => wrongMethod("POST, DELETE"));
  app.use("/live", authorized, requireScope("admin"));
  app.get("/live", (c) => {
    const range = c.req.query("range") ?? "10m";
    if (!isRange(range)) {
      const detail = `range must be one of ${Object.keys(RANGES).join(", ")}, got ${range.slice(0, 20)}`;
      return problem({ status: 400, title: "Not a valid request", detail, field: "range" });
    }
    c.header("Cache-Control", "no-store");
    return streamSSE(c, async (stream) => {
      const { everyMs } = RANGES[range];
      const view = new LiveView({ range, config, reader, ringsOf });
      for (let ms = 0; ms < STREAM_MS && !stream.aborted; ms += everyMs) {
        // A write waits for a client that reads slowly, so nothing piles up.
        await stream.writeSSE({ data: JSON.stringify(await view.next()) });
        await stream.sleep(everyMs);
      }
    });
  });
  app.all("/live", () => wrongMethod("GET, HEAD"));
  return app;
}

function isRange(text: string): text is RangeName {
  return Object.hasOwn(RANGES, text);
}
