/**
 * How checks and verdicts cross the RPC: as few objects as possible, whatever the batch holds.
 *
 * Numbers in flat arrays are copied in one go, while objects are written and read field by field,
 * on both sides: for a batch of 100 that would cost more than all the counting.
 */
import type { Reason, Verdict } from "../limit/decision.ts";
import type { RingRecord } from "../ring/ring-record.ts";
import type { CounterPolicy, Refund } from "./counters.ts";

/** Checks, and the version of the ring by which they were sent to this owner. */
export interface Batch {
  /** 0 where the caller has only the configuration to go by. */
  version: number;
  checks: readonly Refund[];
}

/** What an owner answers to a batch. */
export interface Answer {
  /** The owner's clock. Means nothing to anyone else, who may hand it back with a refund. */
  atMs: number;
  /** For each check in order, a verdict for each of its policies; undefined if its key has moved. */
  verdicts: (Verdict[] | undefined)[];
  /** For each check, whether some of what was counted may be lost; absent if none is. */
  unsure?: boolean[];
  /** The ring, where the caller knows an older one. */
  ring?: RingRecord | undefined;
}

/** A batch on its way to an owner. */
export interface WireBatch {
  version: number;
  /** Those that the checks name by their place here. */
  policies: CounterPolicy[];
  /** For each check: the hash's halves, how many policies, and the place of each. */
  words: Uint32Array<ArrayBuffer>;
  /** For each check, when it was spent by the owner's clock; NaN where that is not known. */
  spentAtMs: Float64Array<ArrayBuffer> | null;
}

/** The owner's clock, and for each verdict five numbers: reason, remaining, and three durations. */
type Numbers = Float64Array<ArrayBuffer>;

export type WireAnswer = Numbers | { numbers: Numbers; ring: RingRecord };

/** A reason's place here is what crosses the wire. The first two allow. */
const REASONS: readonly Reason[] = ["ok", "shadow", "limited", "blocked"];
const ALLOWING_REASONS = 2;
/** In place of a reason where the key has moved. */
const MOVED = -1;
/** Added to a reason whose verdict is unsure. */
const UNSURE = 8;
const VERDICT_NUMBERS = 5;

export function encodeBatch({ version, checks: batch }: Batch): WireBatch {
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
  return { version, policies, words: Uint32Array.from(words), spentAtMs };
}

export function decodeBatch({ version, policies, words, spentAtMs }: WireBatch): Batch {
  const checks: Refund[] = [];
  for (let at = 0; at < words.length; ) {
    const count = words[at + 2] as number;
    const key = { hi: words[at] as number, lo: words[at + 1] as number };
    const asked: CounterPolicy[] = [];
    for (let place = 0; place < count; place++) {
      asked.push(policies[words[at + 3 + place] as number] as CounterPolicy);
    }
    const time = spentAtMs?.[checks.length] ?? Number.NaN;
    checks.push({ key, policies: asked, spentAtMs: Number.isNaN(time) ? undefined : time });
    at += 3 + count;
  }
  return { version, checks };
}

export function encodeAnswer({ atMs, verdicts, unsure, ring }: Answer): WireAnswer {
  const values = [atMs];
  for (const [at, each] of verdicts.entries()) {
    if (!each) values.push(MOVED);
    for (const { reason, remaining, resetMs, retryAfterMs, delayMs } of each ?? []) {
      const code = REASONS.indexOf(reason) + (unsure?.[at] ? UNSURE : 0);
      values.push(code, remaining, resetMs, retryAfterMs, delayMs);
    }
  }
  const numbers = Float64Array.from(values);
  return ring ? { numbers, ring } : numbers;
}

/**
 * Reads an answer to these checks; undefined if it is none. What it says is not judged here, and
 * its ring not read.
 */
export function decodeAnswer(wire: unknown, checks: readonly Refund[]): Answer | undefined {
  const numbers = wire instanceof Float64Array ? wire : (wire as { numbers?: unknown })?.numbers;
  if (!(numbers instanceof Float64Array) || numbers.length === 0) return undefined;
  const answer: Answer = { atMs: numbers[0] as number, verdicts: [] };
  if (wire !== numbers) answer.ring = (wire as { ring: RingRecord }).ring;
  let at = 1;
  for (const { policies } of checks) {
    if (numbers[at] === MOVED) {
      answer.verdicts.push(undefined);
      at++;
      continue;
    }
    if (isUnsure(numbers[at])) {
      answer.unsure ??= [];
      answer.unsure[answer.verdicts.length] = true;
    }
    answer.verdicts.push(
      policies.map((_, place) => verdictAt(numbers, at + place * VERDICT_NUMBERS)),
    );
    at += policies.length * VERDICT_NUMBERS;
  }
  return at === numbers.length ? answer : undefined;
}

function isUnsure(code = 0): boolean {
  return code >= UNSURE;
}

function verdictAt(numbers: Float64Array, at: number): Verdict {
  const [code = -1, remaining = -1, resetMs = -1, retryAfterMs = -1, delayMs = -1] =
    numbers.subarray(at, at + VERDICT_NUMBERS);
  const place = isUnsure(code) ? code - UNSURE : code;
  const reason = REASONS[place] ?? "failed";
  const allowed = place < ALLOWING_REASONS;
  return { allowed, remaining, resetMs, retryAfterMs, delayMs, reason };
}
