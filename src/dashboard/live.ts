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
import { CLIENTS, DECISIONS } from "../watch/watch.ts";
import page from "./live.html";
import { inComment, pageResponse } from "./page-response.ts";
import uplotStyle from "./uplot.css.txt";
import uplot from "./uplot.txt";

/** How far back a chart goes, the length of its steps, and how often it is sent. */
const RANGES = {
  "10m": { range: { last: "10m", step: "second" }, everyMs: 1_000 },
  "1h": { range: { last: "1h", step: "minute" }, everyMs: 5_000 },
  "24h": { range: { last: "24h", step: "minute" }, everyMs: 15_000 },
} as const;
type RangeName = keyof typeof RANGES;

const OUTCOMES = ["allowed", "denied", "shadow"] as const;
/** The most clients that are sent. */
const MAX_CLIENTS = 20;
/** Entries from which the heaviest clients are put together: one for each policy and outcome. */
const MAX_ENTRIES = 200;
/** A page that stays open asks again after this, so that its session is looked at again. */
const STREAM_MS = 600_000;

/** What an operator sees at one moment. */
interface Snapshot {
  range: RangeName;
  /** For each step: when it begins, in seconds since the epoch, and the units of each outcome. */
  points: [at: number, allowed: number, denied: number, shadow: number][];
  /** In the range, by policy, outcome, reason and source. */
  decisions: { policy: string; outcome: string; reason: string; source: string; count: number }[];
  /** In the last minute, those with most requests first. */
  clients: { client: string; allowed: number; denied: number; policies: string[] }[];
  policies: { name: string; limit: number; windowMs: number; algorithm: string; shadow: boolean }[];
  rings: RingStatus[];
}

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
      for (let ms = 0; ms < STREAM_MS && !stream.aborted; ms += everyMs) {
        // A write waits for a client that reads slowly, so nothing piles up.
        await stream.writeSSE({ data: JSON.stringify(await snapshot(range)) });
        await stream.sleep(everyMs);
      }
    });
  });
  app.all("/live", () => wrongMethod("GET, HEAD"));
  return app;

  async function snapshot(name: RangeName): Promise<Snapshot> {
    const { range } = RANGES[name];
    const [allowed, denied, shadow] = await Promise.all(
      OUTCOMES.map((outcome) => reader.series(DECISIONS, { outcome }, range)),
    );
    const by = ["policy", "outcome", "reason", "source"];
    const [decisions, clients, rings] = await Promise.all([
      reader.top(DECISIONS, by, MAX_ENTRIES, range),
      reader.top(CLIENTS, ["client", "outcome", "policy"], MAX_ENTRIES, { last: "1m" }),
      ringsOf(),
    ]);
    return {
      range: name,
      points: (allowed ?? []).map(({ atMs, count }, at) => [
        ...([atMs / 1_000, count] as const),
        ...([denied?.[at]?.count ?? 0, shadow?.[at]?.count ?? 0] as const),
      ]),
      decisions: decisions.entries.map(({ dimensions, count }) => ({
        ...{ policy: dimensions.policy ?? "", outcome: dimensions.outcome ?? "" },
        ...{ reason: dimensions.reason ?? "", source: dimensions.source ?? "", count },
      })),
      clients: byClient(clients.entries),
      policies: config.policies.map((policy) => {
        const { name, limit, windowMs, algorithm, shadow } = policy;
        return { name, limit, windowMs, algorithm, shadow };
      }),
      rings,
    };
  }
}

function isRange(text: string): text is RangeName {
  return Object.hasOwn(RANGES, text);
}

type Entries = Awaited<ReturnType<EventReader["top"]>>["entries"];

function byClient(entries: Entries): Snapshot["clients"] {
  const clients = Map.groupBy(entries, ({ dimensions }) => dimensions.client ?? "");
  const rows = Array.from(clients, ([client, its]) => {
    const sum = (isDenied: boolean) =>
      its
        .filter(({ dimensions }) => (dimensions.outcome === "denied") === isDenied)
        .reduce((all, { count }) => all + count, 0);
    const policies = [...new Set(its.map(({ dimensions }) => dimensions.policy ?? ""))];
    return { client, allowed: sum(false), denied: sum(true), policies };
  });
  const requests = (row: { allowed: number; denied: number }) => row.allowed + row.denied;
  return rows.sort((one, other) => requests(other) - requests(one)).slice(0, MAX_CLIENTS);
}
