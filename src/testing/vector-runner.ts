/** Puts any limiter through the vectors, and says where it differs. */
import { MisuseError } from "../limit/misuse.ts";
import { VECTORS, type VectorPolicy, type VectorStep, type VectorVerb } from "./vectors.ts";

/** A full minute, at which the windows of all vectors begin. */
const START_MS = 1_800_000_000_000;
/** Time from one scenario's start to the next. No scenario is longer, so time never goes back. */
const SCENARIO_MS = 86_400_000;
/** How often a scenario that differs is tried again, if the limiter's clock cannot be set. */
const MORE_ATTEMPTS = 2;

/** What a limiter is asked about one key. Each scenario has a key of its own. */
export interface VectorCheck extends VectorPolicy {
  key: string;
  algorithm: string;
  /** Units; for a block, its length in milliseconds. */
  cost: number;
  /** When it is asked, ms since the epoch. It never goes back. */
  atMs: number;
}

/** A limiter's answer. Of the last three fields, those that it leaves out are not compared. */
export interface VectorDecision {
  allowed: boolean;
  remaining?: number | undefined;
  retryAfterMs?: number | undefined;
  delayMs?: number | undefined;
}

type Answer = VectorDecision | Promise<VectorDecision>;

/** A limiter under test. Steps that it has no method for are left out. */
export interface VectorLimiter {
  check(check: VectorCheck): Answer;
  /** Without this method, its steps are left out, and the scenario goes on. */
  peek?(check: VectorCheck): Answer;
  /** Gives units back, and answers as `peek`. A scenario ends where it needs a missing method. */
  refund?(check: VectorCheck): Answer;
  reset?(check: VectorCheck): void | Promise<void>;
  block?(check: VectorCheck): void | Promise<void>;
  unblock?(check: VectorCheck): void | Promise<void>;
  /**
   * Moves the limiter's clock on. Without it, as for a server, only the steps at a scenario's first
   * instant are run, and no times are compared. A scenario that differs is tried twice more, with
   * other keys: a bucket may have refilled, or a window ended, between two steps.
   */
  setClock?(atMs: number): void | Promise<void>;
}

export interface VectorOptions {
  /** Names of algorithms. Default all. */
  algorithms?: readonly string[];
  /** Whether `check` takes its time from `atMs`, so that it needs no `setClock`. Default false. */
  usesAtMs?: boolean;
}

/** A field of an answer that differs from the vectors. */
export interface VectorDifference {
  algorithm: string;
  scenario: string;
  /** The step's index in its scenario. */
  step: number;
  verb: VectorVerb;
  asked: VectorCheck;
  field: keyof VectorDecision;
  expected: boolean | number;
  got: unknown;
}

export interface VectorReport {
  /** Steps that were run. */
  run: number;
  /** Steps that were left out, since the limiter has no method or clock for them. */
  left: number;
  differences: VectorDifference[];
}

/**
 * Puts a limiter through the vectors.
 *
 * @param limiter its methods, or `check` alone
 * @throws {MisuseError} if there is no such algorithm
 * @example
 * const { differences } = await runVectors((check) => mine.decide(check), { usesAtMs: true });
 */
export async function runVectors(
  limiter: VectorLimiter | VectorLimiter["check"],
  { algorithms, usesAtMs = false }: VectorOptions = {},
): Promise<VectorReport> {
  const subject = typeof limiter === "function" ? { check: limiter } : limiter;
  const hasClock = usesAtMs || subject.setClock !== undefined;
  const known = new Set(VECTORS.map(({ algorithm }) => algorithm));
  const unknown = algorithms?.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new MisuseError("algorithms", `must be of ${[...known].join(", ")}`, unknown);
  }
  const report: VectorReport = { run: 0, left: 0, differences: [] };
  let startMs = START_MS;
  for (const { file, algorithm, scenarios } of VECTORS) {
    if (algorithms && !algorithms.includes(algorithm)) continue;
    for (const [at, { title, policy, steps }] of scenarios.entries()) {
      const runnable = stepsFor(subject, steps, hasClock);
      report.left += steps.length - runnable.length;
      report.run += runnable.length;
      const differencesOf = async (attempt: number) => {
        const differences: VectorDifference[] = [];
        for (const { step, index } of runnable) {
          const [atMs, verb, cost = 1] = step;
          const key = `${file} ${at} ${attempt}`;
          const asked = { ...policy, key, algorithm, cost, atMs: startMs + atMs };
          await subject.setClock?.(asked.atMs);
          const got = await subject[verb]?.(asked);
          for (const differing of got ? compare(step, got, hasClock) : []) {
            const place = { algorithm, scenario: title, step: index, verb, asked };
            differences.push({ ...place, ...differing });
          }
        }
        return differences;
      };
      let differences = await differencesOf(0);
      for (let more = hasClock ? 0 : MORE_ATTEMPTS; differences.length > 0 && more > 0; more--) {
        differences = await differencesOf(more);
      }
      report.differences.push(...differences);
      startMs += SCENARIO_MS;
    }
  }
  return report;
}

/** Returns the steps that a limiter can run, with their indexes. */
function stepsFor(limiter: VectorLimiter, steps: readonly VectorStep[], hasClock: boolean) {
  const indexed = steps.map((step, index) => ({ step, index }));
  const end = indexed.findIndex(({ step: [atMs, verb] }) => {
    // A peek changes nothing, so the steps after it can be compared without it.
    const isMissing = verb !== "peek" && !limiter[verb];
    return isMissing || (!hasClock && atMs !== steps[0]?.[0]);
  });
  const reached = end === -1 ? indexed : indexed.slice(0, end);
  return reached.filter(({ step: [, verb] }) => limiter[verb]);
}

/** Returns the fields that differ from what a step expects. */
function compare(step: VectorStep, got: VectorDecision, hasClock: boolean) {
  const [, , , allowed, remaining, retryAfterMs, delayMs] = step;
  const times = hasClock ? { retryAfterMs, delayMs } : {};
  const expected: Partial<VectorDecision> = { allowed, remaining, ...times } as object;
  return (Object.keys(expected) as (keyof VectorDecision)[]).flatMap((field) => {
    const must = expected[field];
    if (must === undefined || must === got[field]) return [];
    if (field !== "allowed" && got[field] === undefined) return [];
    return { field, expected: must, got: got[field] };
  });
}
