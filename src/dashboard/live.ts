/**
 * The live page at `/_turnpike/`: what the limiter decides, second by second, for an operator.
 *
 * The page itself has no secret. What it shows comes by server-sent events, for a session.
 */
import type { HonoBase } from "hono/hono-base";
import type { Config } from "../config.ts";
import { wrongMethod } from "../http/answer/problem.ts";
import { answerError } from "../http/api/api-error.ts";
import { type Authorize, requireScope } from "../http/api/authorization.ts";
import { queryOf } from "../http/api/query.ts";
import { sessionsOf } from "../http/api/session.ts";
import { newApp } from "../http/app.ts";
import { parse } from "../limit/misuse.ts";
import { oneOf } from "../limit/schemas.ts";
import type { RingStatus } from "../protocol/rpc.ts";
import { WORKERS } from "../runtime.ts";
import page from "./live.html";
import { type LiveReader, LiveView, RANGES, type RangeName, type Shown } from "./live-view.ts";
import { inComment, pageResponse } from "./page-response.ts";
import uplotStyle from "./uplot.css.txt";
import uplot from "./uplot.txt";

/** A page that stays open asks again after this, so that its session is looked at again. */
const STREAM_MS = 600_000;
/** How soon a browser asks again when a stream has ended. */
const RETRY_MS = 1_000;

const rangeSchema = oneOf(Object.keys(RANGES) as RangeName[]);

/**
 * Makes the app at `/_turnpike`.
 *
 * @param ringsOf returns the state of all rings
 */
export function livePage(
  authorized: Authorize,
  config: Config,
  reader: LiveReader,
  ringsOf: () => Promise<RingStatus[]>,
): HonoBase {
  const app = newApp();
  app.onError(answerError);
  const sessions = sessionsOf(config);
  const views = new Map<RangeName, LiveView>();
  const viewOf = (range: RangeName) => {
    const view = views.get(range) ?? new LiveView({ range, config, reader, ringsOf });
    views.set(range, view);
    return view;
  };
  app.get("/", () =>
    pageResponse(page, { uplot: `\n${uplot}`, uplotStyle: inComment(uplotStyle) }),
  );
  app.all("/", () => wrongMethod("GET, HEAD"));
  app.get("/session", async (c) => c.json({ active: await sessions.holds(c) }));
  app.use("/session", authorized, requireScope("admin"));
  app.post("/session", async (c) => {
    c.header("Set-Cookie", await sessions.begin(c.req.url));
    return c.body(null, 204);
  });
  app.delete("/session", (c) => {
    c.header("Set-Cookie", sessions.end(c.req.url));
    return c.body(null, 204);
  });
  app.all("/session", () => wrongMethod("GET, HEAD, POST, DELETE"));
  app.use("/live", authorized, requireScope("admin"));
  app.get("/live", (c) => {
    const range = parse(rangeSchema, queryOf(c).range ?? "10m", "range");
    const headers = { "Content-Type": "text/event-stream", "Cache-Control": "no-store" };
    return c.body(streamOf(viewOf(range)), 200, headers);
  });
  app.all("/live", () => wrongMethod("GET, HEAD"));
  return app;
}

/**
 * Sends a moment each time that the client has taken the one before. For a client that reads slowly,
 * the moments between are left out; for one that reads nothing, nothing is read.
 */
function streamOf(view: LiveView): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const endMs = WORKERS.now() + STREAM_MS;
  let shown: Shown | undefined;
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const next = await view.next(shown);
    const event = next.text === undefined ? "event: unread\ndata:\n\n" : `data: ${next.text}\n\n`;
    controller.enqueue(encoder.encode(shown ? event : `retry: ${RETRY_MS}\n${event}`));
    shown = next.shown;
    if (WORKERS.now() >= endMs) controller.close();
  };
  return new ReadableStream({ pull }, { highWaterMark: 0 });
}
