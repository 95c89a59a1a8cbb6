/**
 * What the live page shows of a range, from moment to moment: one call to the directory of events
 * and to each of their owners. The chart's past stays here, and only its end is read again.
 *
 * All streams of an isolate that show a range have one view. Where a moment is due, the first stream
 * reads it, and the others wait until it is there. They look for it again and again instead of sharing
 * a promise: the request that made the promise may end before the answer.
 */
import type { Config } from "../config.ts";
import type { EventReader } from "../events/event-reader.ts";
import { per } from "../limit/duration.ts";
import type { Policy } from "../limit/policy.ts";
import { logSeldom } from "../log.ts";
import type { RingStatus } from "../protocol/rpc.ts";
import { WORKERS } from "../runtime.ts";
import { CLIENTS, DECISIONS, REQUESTS } from "../watch/watch.ts";
import { LATELY_MS, MAX_CLIENTS, type TopClient, topClients } from "./top-clients.ts";

/** How far back a chart goes, the length of its steps, and how often it and the sums are read. */
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
const DENIED = { outcome: "denied" };
/** Steps at the end of a chart that are read again: an owner may still get their events. */
const OPEN_STEPS = 5;
/** How often the rings are asked: that costs a call to each of their owners. */
const RINGS_MS = 5_000;
/** How often anything is sent. */
const MOMENT_MS = 1_000;
/** How often streams look whether a moment is there that another reads. */
const LOOK_MS = 50;
/** How long they wait for it. Then one of them reads, because the other may have ended. */
const PATIENCE_MS = 2_000;
/** The most combinations of policy, outcome, reason and source. */
const MAX_DECISIONS = 200;
/** Part of the interval for which a chart is new enough: moments do not come on the millisecond. */
const FRESH = 0.9;

type ShownField = "name" | "limit" | "algorithm" | "shadow";

/** A rate is the mean of this long. */
const RATE_MS = 5_000;
/** Events of the last two seconds may not be here yet, so a rate leaves them out. */
const LATE_MS = 2_000;
/** How long events gather before they are there. */
const GATHERED_MS = 1_000;

/** What takes longer to read, and is sent only where it is new to the page. */
interface Chart {
  stepMs: number;
  /** For each step: when it begins, in seconds since the epoch, and the units of each line. */
  points: [atSeconds: number, ...units: number[]][];
  /** In the range, by policy, outcome, reason and source. */
  decisions: { policy: string; outcome: string; reason: string; source: string; count: number }[];
}

/** What an operator sees at one moment, besides. */
interface Moment {
  /** When it was read. */
  atMs: number;
  /**
   * Sums of this minute and the last: of those with most requests in the last seconds, with most
   * requests, and with most denials.
   */
  clients: TopClient[];
  /** With its window in words, and its decisions in the last seconds that are over, a second. */
  policies: (Pick<Policy, ShownField> & { window: string; perSecond: number })[];
  rings: RingStatus[];
  /** Checks a second of an owner above which more join. */
  highWater: number;
}

/** What a page shows: when its moment and its chart were read. */
export interface Shown {
  atMs: number;
  chartMs: number | undefined;
}

export type LiveReader = Pick<EventReader, "series" | "top" | "heaviest">;

export interface LiveViewOptions {
  range: RangeName;
  config: Pick<Config, "policies" | "highWater">;
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
  #beganMs = Number.NEGATIVE_INFINITY;
  /** What was read last. It has no text if an owner of events did not answer. */
  #moment: { text: string | undefined; atMs: number } | undefined;
  #chart: { text: string; atMs: number } | undefined;
  #chartDueMs = Number.NEGATIVE_INFINITY;

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  /**
   * Waits for a moment that a page does not show yet. Returns it as JSON, without a chart that the page
   * has. The text is undefined if the moment could not be read.
   *
   * @param shown what was returned last, undefined for a page that shows nothing
   */
  async next(shown?: Shown): Promise<{ text: string | undefined; shown: Shown }> {
    for (;;) {
      const nowMs = WORKERS.now();
      const moment = this.#moment;
      const isNew = shown ? moment?.atMs !== shown.atMs : nowMs < (moment?.atMs ?? 0) + MOMENT_MS;
      if (moment && isNew) return this.#toShow(moment, shown);
      const isReading = moment?.atMs !== this.#beganMs;
      const dueMs = this.#beganMs + (isReading ? PATIENCE_MS : MOMENT_MS);
      if (nowMs >= dueMs) return this.#toShow(await this.#read(nowMs), shown);
      await WORKERS.wait(isReading ? LOOK_MS : dueMs - nowMs);
    }
  }

  #toShow({ text, atMs }: { text: string | undefined; atMs: number }, shown?: Shown) {
    const chart = this.#chart;
    const isKnown = !chart || text === undefined || chart.atMs === shown?.chartMs;
    if (isKnown) return { text, shown: { atMs, chartMs: shown?.chartMs } };
    // One object of both.
    const both = `${text.slice(0, -1)},${chart.text.slice(1)}`;
    return { text: both, shown: { atMs, chartMs: chart.atMs } };
  }

  async #read(nowMs: number): Promise<{ text: string | undefined; atMs: number }> {
    const isChartDue = !this.#chart || nowMs >= this.#chartDueMs;
    this.#beganMs = nowMs;
    if (isChartDue) this.#chartDueMs = nowMs + FRESH * RANGES[this.#options.range].everyMs;
    let text: string | undefined;
    try {
      const [moment, chart] = await Promise.all([
        this.#readMoment(),
        isChartDue ? this.#readChart() : undefined,
      ]);
      text = JSON.stringify(moment);
      if (chart) this.#chart = { text: JSON.stringify(chart), atMs: nowMs };
    } catch (error) {
      if (isChartDue) this.#chartDueMs = nowMs;
      logSeldom("warn", "live-page-not-read", "", { detail: String(error) });
    }
    const read = { text, atMs: nowMs };
    // One that took long must not replace one that began later.
    if (nowMs >= (this.#moment?.atMs ?? 0)) this.#moment = read;
    return read;
  }

  async #readMoment(): Promise<Moment> {
    const { config, reader } = this.#options;
    const nowMs = WORKERS.now();
    const lastMs = Math.floor(nowMs / 1_000) * 1_000 - LATE_MS;
    const past = { from: lastMs - RATE_MS, to: lastMs, step: "second" } as const;
    const lately = { from: nowMs - LATELY_MS - GATHERED_MS, step: "second" } as const;
    const minutes = { last: "1m", step: "minute" } as const;
    const each = { by: "client", n: MAX_CLIENTS };
    const [rates, newest, sums, busiest, mostDenied] = await Promise.all([
      reader.top(DECISIONS, ["policy"], MAX_DECISIONS, past),
      reader.heaviest(CLIENTS, each, lately),
      reader.heaviest(CLIENTS, each, minutes, lately),
      reader.heaviest(CLIENTS, each, minutes),
      reader.heaviest(CLIENTS, { ...each, where: DENIED }, minutes),
      this.#readRings(),
    ]);
    return {
      atMs: WORKERS.now(),
      clients: topClients([...sums, ...busiest, ...mostDenied], newest),
      policies: config.policies.map((policy) => {
        const rate = rates.entries.find(({ dimensions }) => dimensions.policy === policy.name);
        const { name, limit, windowMs, algorithm, shadow } = policy;
        const window = windowMs > 0 ? per(windowMs) : "at once";
        const perSecond = ((rate?.count ?? 0) * 1_000) / RATE_MS;
        return { name, limit, window, algorithm, shadow, perSecond };
      }),
      rings: this.#rings,
      highWater: config.highWater,
    };
  }

  async #readChart(): Promise<Chart> {
    const { last, stepMs } = RANGES[this.#options.range];
    const by = ["policy", "outcome", "reason", "source"];
    const [decisions] = await Promise.all([
      this.#options.reader.top(DECISIONS, by, MAX_DECISIONS, { last, step: "minute" }),
      this.#readPoints(),
    ]);
    return {
      stepMs,
      points: Array.from(this.#points, ([atMs, units]) => [atMs / 1_000, ...units]),
      decisions: decisions.entries.map(({ dimensions, count }) => ({
        ...{ policy: dimensions.policy ?? "", outcome: dimensions.outcome ?? "" },
        ...{ reason: dimensions.reason ?? "", source: dimensions.source ?? "", count },
      })),
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
      // What is certain: names that were not kept apart may be other ones.
      const units = lines.map((points) => (points[at]?.count ?? 0) - (points[at]?.error ?? 0));
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
