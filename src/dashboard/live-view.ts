/**
 * What the live page shows of a range, from moment to moment: one call to the directory of events
 * and to each of their owners. The chart's past stays here, and only its end is read again.
 *
 * All streams of an isolate have one view. The first that wants a newer moment reads it for all. A
 * promise cannot be shared, because the request that made it may have ended before the answer.
 */
import type { Config } from "../config.ts";
import type { TopEntry } from "../events/answers.ts";
import type { EventReader } from "../events/event-reader.ts";
import type { RingStatus } from "../protocol/rpc.ts";
import { WORKERS } from "../runtime.ts";
import { CLIENTS, DECISIONS, REQUESTS } from "../watch/watch.ts";

/** How far back a chart goes, the length of its steps, and how often it is sent. */
export const RANGES = {
  "10m": { last: "10m", lastMs: 600_000, step: "second", stepMs: 1_000, everyMs: 1_000 },
  "1h": { last: "1h", lastMs: 3_600_000, step: "minute", stepMs: 60_000, everyMs: 5_000 },
  "24h": { last: "24h", lastMs: 86_400_000, step: "minute", stepMs: 60_000, everyMs: 15_000 },
} as const;
export type RangeName = keyof typeof RANGES;

/** The lines of the chart: requests by outcome, and all that the fallback decided. */
const LINES = [
  { outcome: "allowed" },
  { outcome: "denied" },
  { outcome: "shadow" },
  { source: "fallback" },
];
/** Steps at the end of a chart that are read again: an owner may still get their events. */
const OPEN_STEPS = 5;
/** How often the rings are asked: that costs a call to each of their owners. */
const RINGS_MS = 5_000;
/** The most clients that are sent. */
const MAX_CLIENTS = 15;
/** The most combinations of policy, outcome, reason and source. */
const MAX_DECISIONS = 200;
/** Part of the interval for which a moment is new enough: timers may be early. */
const FRESH = 0.9;

/** What an operator sees at one moment. */
interface Snapshot {
  /** When it was read. */
  atMs: number;
  stepMs: number;
  /** For each step: when it begins, in seconds since the epoch, and the units of each line. */
  points: [atSeconds: number, ...units: number[]][];
  /** In the range, by policy, outcome, reason and source. */
  decisions: { policy: string; outcome: string; reason: string; source: string; count: number }[];
  /** In this minute and the last, those with most requests first. */
  clients: { client: string; allowed: number; denied: number; policies: string[] }[];
  policies: { name: string; limit: number; windowMs: number; algorithm: string; shadow: boolean }[];
  rings: RingStatus[];
}

export type LiveReader = Pick<EventReader, "series" | "top" | "heaviest">;

export interface LiveViewOptions {
  range: RangeName;
  config: Pick<Config, "policies">;
  reader: LiveReader;
  /** Returns the state of all rings. */
  ringsOf: () => Promise<RingStatus[]>;
}

export class LiveView {
  readonly #options: LiveViewOptions;
  /** By when their steps begin, ms since the epoch, in that order. */
  readonly #points = new Map<number, number[]>();
  #readMs = 0;
  #rings: RingStatus[] = [];
  #ringsMs = Number.NEGATIVE_INFINITY;
  #text: string | undefined;
  #textMs = Number.NEGATIVE_INFINITY;

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  /** Returns the moment to show now, as JSON. Rejects as the reader does. */
  async next(): Promise<string> {
    const nowMs = WORKERS.now();
    const { everyMs } = RANGES[this.#options.range];
    if (this.#text && nowMs - this.#textMs < FRESH * everyMs) return this.#text;
    this.#textMs = nowMs;
    this.#text = JSON.stringify(await this.#read());
    return this.#text;
  }

  async #read(): Promise<Snapshot> {
    const { range, config, reader } = this.#options;
    const { last, stepMs } = RANGES[range];
    const by = ["policy", "outcome", "reason", "source"];
    const [decisions, clients] = await Promise.all([
      reader.top(DECISIONS, by, MAX_DECISIONS, { last, step: "minute" }),
      reader.heaviest(CLIENTS, "client", MAX_CLIENTS, { last: "1m", step: "minute" }),
      this.#readPoints(),
      this.#readRings(),
    ]);
    return {
      atMs: WORKERS.now(),
      stepMs,
      points: Array.from(this.#points, ([atMs, units]) => [atMs / 1_000, ...units]),
      decisions: decisions.entries.map(({ dimensions, count }) => ({
        ...{ policy: dimensions.policy ?? "", outcome: dimensions.outcome ?? "" },
        ...{ reason: dimensions.reason ?? "", source: dimensions.source ?? "", count },
      })),
      clients: byClient(clients),
      policies: config.policies.map((policy) => {
        const { name, limit, windowMs, algorithm, shadow } = policy;
        return { name, limit, windowMs, algorithm, shadow };
      }),
      rings: this.#rings,
    };
  }

  async #readPoints(): Promise<void> {
    const { lastMs, step, stepMs } = RANGES[this.#options.range];
    const nowMs = WORKERS.now();
    const newMs = Math.min(lastMs, nowMs - this.#readMs + OPEN_STEPS * stepMs);
    const range = { last: `${newMs}ms`, step };
    const lines = await Promise.all(
      LINES.map((filter) => this.#options.reader.series(REQUESTS, filter, range)),
    );
    this.#readMs = nowMs;
    for (const [at, { atMs }] of (lines[0] ?? []).entries()) {
      const units = lines.map((points) => points[at]?.count ?? 0);
      this.#points.set(atMs, units);
    }
    for (const atMs of this.#points.keys()) {
      if (atMs < nowMs - lastMs - stepMs) this.#points.delete(atMs);
    }
  }

  async #readRings(): Promise<void> {
    const nowMs = WORKERS.now();
    if (nowMs - this.#ringsMs < RINGS_MS) return;
    this.#rings = await this.#options.ringsOf();
    this.#ringsMs = nowMs;
  }
}

function byClient(entries: readonly TopEntry[]): Snapshot["clients"] {
  const clients = Map.groupBy(entries, ({ dimensions }) => dimensions.client ?? "");
  const rows = Array.from(clients, ([client, its]) => {
    const sum = (isDenied: boolean) =>
      its
        .filter(({ dimensions }) => (dimensions.outcome === "denied") === isDenied)
        .reduce((all, { count, error }) => all + count - error, 0);
    const policies = [...new Set(its.map(({ dimensions }) => dimensions.policy ?? ""))];
    return { client, allowed: sum(false), denied: sum(true), policies };
  });
  const requests = (row: { allowed: number; denied: number }) => row.allowed + row.denied;
  return rows.sort((one, other) => requests(other) - requests(one)).slice(0, MAX_CLIENTS);
}
