/**
 * How checks and verdicts cross the RPC: as few objects as possible, whatever the batch holds.
 *
 * Numbers in flat arrays are copied in one go, while objects are written and read field by field,
 * on both sides: for a batch of 100 that would cost more than all the counting.
 */
import type { Reason, Verdict } from "../limit/decision.ts";
import type { CounterPolicy, Refund } from "./counters.ts";

/** What an owner answers to a batch. */
export interface Answer {
  /** The owner's clock. Means nothing to anyone else, who may hand it back with a refund. */
  atMs: number;
  /** For each check in order, a verdict for each of its policies. */
  verdicts: Verdict[][];
}

/** Checks on their way to an owner. */
export interface WireBatch {
  /** Those that the checks name by their place here. */
  policies: CounterPolicy[];
  /** For each check: the hash's halves, how many policies, and the place of each. */
  words: Uint32Array<ArrayBuffer>;
  /** For each check, when it was spent by the owner's clock; NaN where that is not known. */
  spentAtMs: Float64Array<ArrayBuffer> | null;
}

/** The owner's clock, and for each verdict five numbers: reason, remaining, and three durations. */
export type WireAnswer = Float64Array<ArrayBuffer>;

/** A reason's place here is what crosses the wire. The first two allow. */
const REASONS: readonly Reason[] = ["ok", "shadow", "limited", "blocked"];
const ALLOWING_REASONS = 2;
const VERDICT_NUMBERS = 5;

export function encodeBatch(batch: readonly Refund[]): WireBatch {
  const policies: CounterPolicy[] = [];
  const words: number[] = [];
  for (const { key, policies: asked } of batch) {
    words.push(key.hi, key.lo, asked.length);
    for (const policy of asked) {
      let place = policies.indexOf(policy);
      if (place < 0) place = policies.push(policy) - 1;
      words.push(place);
    }
  }
  const isRefund = batch.some(({ spentAtMs }) => spentAtMs !== undefined);
  const times = batch.map(({ spentAtMs = Number.NaN }) => spentAtMs);
  const spentAtMs = isRefund ? Float64Array.from(times) : null;
  return { policies, words: Uint32Array.from(words), spentAtMs };
}

export function decodeBatch({ policies, words, spentAtMs }: WireBatch): Refund[] {
  const batch: Refund[] = [];
  for (let at = 0; at < words.length; ) {
    const count = words[at + 2] as number;
    const key = { hi: words[at] as number, lo: words[at + 1] as number };
    const asked: CounterPolicy[] = [];
    for (let place = 0; place < count; place++) {
      asked.push(policies[words[at + 3 + place] as number] as CounterPolicy);
    }
    const time = spentAtMs?.[batch.length] ?? Number.NaN;
    batch.push({ key, policies: asked, spentAtMs: Number.isNaN(time) ? undefined : time });
    at += 3 + count;
  }
  return batch;
}

export function encodeAnswer({ atMs, verdicts }: Answer): WireAnswer {
  const numbers = [atMs];
  for (const each of verdicts) {
    for (const { reason, remaining, resetMs, retryAfterMs, delayMs } of each) {
      numbers.push(REASONS.indexOf(reason), remaining, resetMs, retryAfterMs, delayMs);
    }
  }
  return Float64Array.from(numbers);
}

/** Reads an answer to `batch`; undefined if it is none. What it says is not judged here. */
export function decodeAnswer(answer: unknown, batch: readonly Refund[]): Answer | undefined {
  if (!(answer instanceof Float64Array)) return undefined;
  const expected = batch.reduce((count, { policies }) => count + policies.length, 0);
  const [atMs] = answer;
  if (atMs === undefined || answer.length !== 1 + expected * VERDICT_NUMBERS) return undefined;
  let at = 1;
  const verdicts = batch.map(({ policies }) =>
    policies.map((): Verdict => {
      const [code = -1, remaining = -1, resetMs = -1, retryAfterMs = -1, delayMs = -1] =
        answer.subarray(at, at + VERDICT_NUMBERS);
      at += VERDICT_NUMBERS;
      const reason = REASONS[code] ?? "failed";
      const allowed = code < ALLOWING_REASONS;
      return { allowed, remaining, resetMs, retryAfterMs, delayMs, reason };
    }),
  );
  return { atMs, verdicts };
}
