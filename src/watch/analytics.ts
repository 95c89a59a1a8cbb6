/**
 * What an isolate counted, as points of Analytics Engine, if the Worker has a dataset bound as
 * `TURNPIKE_ANALYTICS`. An isolate writes a point each time that it sends its events: one a second
 * at most.
 *
 * A point is a sum: no key, client or policy is in it.
 */

import type { Source } from "../limit/decision.ts";
import { MisuseError } from "../limit/misuse.ts";

/** The part of a dataset that is used. */
export interface Dataset {
  writeDataPoint(point: { indexes: string[]; doubles: number[] }): void;
}

export type Outcome = "allowed" | "denied" | "shadow";

/** The index by which queries find the points. */
const INDEX = "turnpike";

export class AnalyticsPoints {
  readonly #dataset: Dataset;
  #sums = newSums();

  constructor(dataset: Dataset) {
    this.#dataset = dataset;
  }

  decided(outcome: Outcome, source: Source): void {
    this.#sums[outcome]++;
    if (source === "fallback") this.#sums.fallback++;
  }

  /** Adds a check that an owner answered, and how long it waited. */
  waited(ms: number): void {
    this.#sums.checks++;
    this.#sums.waitedMs += ms;
  }

  called(): void {
    this.#sums.calls++;
  }

  /** Writes what came since the last point, if anything did. */
  flush(): void {
    const { allowed, denied, shadow, fallback, checks, waitedMs, calls } = this.#sums;
    if (allowed + denied + shadow + calls === 0) return;
    this.#sums = newSums();
    const doubles = [allowed, denied, shadow, fallback, checks, waitedMs, calls];
    this.#dataset.writeDataPoint({ indexes: [INDEX], doubles });
  }
}

/**
 * Returns the writer of points; undefined without a dataset.
 *
 * @throws {MisuseError} if something else is bound
 */
export function analyticsPoints(env: object): AnalyticsPoints | undefined {
  const bound: unknown = Reflect.get(env, "TURNPIKE_ANALYTICS");
  if (bound === undefined) return undefined;
  if (typeof (bound as Partial<Dataset> | null)?.writeDataPoint !== "function") {
    throw new MisuseError("TURNPIKE_ANALYTICS", "must be a dataset of Analytics Engine", bound);
  }
  return new AnalyticsPoints(bound as Dataset);
}

function newSums() {
  return { allowed: 0, denied: 0, shadow: 0, fallback: 0, checks: 0, waitedMs: 0, calls: 0 };
}
