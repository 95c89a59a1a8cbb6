/**
 * What the live page shows of one stream, from moment to moment: one call to the directory of events
 * and to each of their owners. The chart's past stays here, and only its end is read again.
 */
import type { Config } from "../config.ts";
import type { EventReader } from "../events/event-reader.ts";
import type { RingStatus } from "../protocol/rpc.ts";
import { WORKERS } from "../runtime.ts";
import { CLIENTS, DECISIONS } from "../watch/watch.ts";

/** How far back a chart goes, the length of its steps, and how often it is sent. */
export const RANGES = {
  "10m": { last: "10m", lastMs: 600_000, step: "second", stepMs: 1_000, everyMs: 1_000 },
  "1h": { last: "1h", lastMs: 3_600_000, step: "minute", stepMs: 60_000, everyMs: 5_000 },
  "24h": { last: "24h", lastMs: 86_400_000, step: "minute", stepMs: 60_000, everyMs: 15_000 },
} as const;
export type RangeName = keyof typeof RANGES;

/** The lines of the chart: decisions by outcome, and those of the fallback, whatever it decided. */
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
const MAX_CLIENTS = 20;
/** Entries from which the heaviest clients are put together: one for each policy and outcome. */
const MAX_ENTRIES = 200;

/** What an operator sees at one moment. */
interface Snapshot {
  range: RangeName;
  /** For each step: when it begins, in seconds since the epoch, and the units of each line. */
  points: [atSeconds: number, ...units: number[]][];
  /** In the range, by policy, outcome, reason and source. */
  decisions: { policy: string; outcome: string; reason: string; source: string; count: number }[];
  /** In the last minute, those with most requests first. */
  clients: { client: string; allowed: number; denied: number; policies: string[] }[];
  policies: { name: string; limit: number; windowMs: number; algorithm: string; shadow: boolean }[];
  rings: RingStatus[];
}

export interface LiveViewOptions {
  range: RangeName;
  config: Pick<Config, "policies">;
  reader: Pick<EventReader, "series" | "top">;
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

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  /** Rejects as the reader does. */
  async next(): Promise<Snapshot> {
    const { range, config, reader } = this.#options;
    const { last } = RANGES[range];
    const by = ["policy", "outcome", "reason", "source"];
    const [decisions, clients] = await Promise.all([
      reader.top(DECISIONS, by, MAX_ENTRIES, { last, step: "minute" }),
      reader.top(CLIENTS, ["client", "outcome", "policy"], MAX_ENTRIES, { last: "1m" }),
      this.#readPoints(),
      this.#readRings(),
    ]);
    return {
      range,
      points: Array.from(this.#points, ([atMs, units]) => [atMs / 1_000, ...units]),
      decisions: decisions.entries.map(({ dimensions, count }) => ({
        ...{ policy: dimensions.policy ?? "", outcome: dimensions.outcome ?? "" },
        ...{ reason: dimensions.reason ?? "", source: dimensions.source ?? "", count },
      })),
      clients: byClient(clients.entries),
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
      LINES.map((filter) => this.#options.reader.series(DECISIONS, filter, range)),
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
