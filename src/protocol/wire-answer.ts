/** How an owner's answer to a batch crosses the RPC; about versions, see `wire.ts`. */

import { HELD, type Refund, type WasHeld } from "../counters/check.ts";
import { OWNER_REASONS, type Verdict, verdictOf } from "../limit/decision.ts";
import type { RingRecord } from "./ring-record.ts";
import { WIRE_VERSION } from "./wire.ts";

/** What an owner answers to a batch. */
export interface Answer {
  /** The owner's clock. Callers only hand it back, with a refund. */
  atMs: number;
  /** Changes whenever a denial or a lease may have ended early; see `Owner.beginEpoch`. */
  epoch: number;
  /**
   * For each check in order, a verdict for each of its policies. Undefined if its key has moved;
   * empty if the caller refused the verdicts, since they make no sense.
   */
  verdicts: (Verdict[] | undefined)[];
  /** For each check, whether some of the count may be lost; absent if all are exact. */
  inexact?: (boolean | undefined)[];
  /** For each check, whether a reset has ended the lease that it tells of; absent if none has. */
  ended?: (boolean | undefined)[];
  /** For each settlement, what its hold was before; absent in all other answers. */
  was?: (WasHeld | undefined)[];
  /** The owner's ring, if its version is not that of the batch. */
  ring?: RingRecord | undefined;
}

/** Above any version, and below any owner's clock. */
const MAX_WIRE_VERSION = 1_000;

/**
 * The version, the owner's clock and its epoch; then five numbers for each verdict: reason,
 * remaining, and three durations.
 */
type Numbers = Float64Array<ArrayBuffer>;

export type WireAnswer =
  | Numbers
  | {
      numbers: Numbers;
      ring?: RingRecord;
      taken?: Taken;
      was?: Answer["was"];
      limits?: Limits;
      /** The version of the live policies, if the batch named an earlier one, or none. */
      live?: number;
    };

/**
 * Units taken, by the index of each check that took what was left. Most answers have no such check.
 */
type Taken = (number | undefined)[];

/** For each check with an override, the limits of its verdicts. Most answers have none. */
type Limits = ((number | undefined)[] | undefined)[];

/** Stands for a reason: the key has moved. */
const MOVED = -1;
/** Added to the reason if some of the count may be lost. */
const INEXACT = 8;
/** Added to the reason if the lease that the check tells of has ended. */
const ENDED = 16;
/** Above any sum of a reason and these. */
const MAX_CODE = 32;
const FLAGS = [
  [INEXACT, "inexact"],
  [ENDED, "ended"],
] as const;
const VERDICT_NUMBERS = 5;
/** Numbers before the first verdict. Version 1 has one less. */
const HEAD_NUMBERS = 3;

/** @param wireVersion the version of the batch that is answered; 1 if the batch names none */
export function encodeAnswer(answer: Answer, wireVersion = WIRE_VERSION): WireAnswer {
  const { atMs, epoch, verdicts, inexact, ended, ring } = answer;
  let length = HEAD_NUMBERS;
  for (const each of verdicts) length += each ? each.length * VERDICT_NUMBERS : 1;
  const numbers = new Float64Array(length);
  numbers[0] = WIRE_VERSION;
  numbers[1] = atMs;
  numbers[2] = epoch;
  let taken: Taken | undefined;
  let limits: Limits | undefined;
  let at = HEAD_NUMBERS;
  for (let index = 0; index < verdicts.length; index++) {
    const each = verdicts[index];
    if (!each) {
      numbers[at++] = MOVED;
      continue;
    }
    if (each[0]?.taken !== undefined) {
      taken ??= [];
      taken[index] = each[0].taken;
    }
    if (each.some(({ limit }) => limit !== undefined)) {
      limits ??= [];
      limits[index] = each.map(({ limit }) => limit);
    }
    const flags = (inexact?.[index] ? INEXACT : 0) + (ended?.[index] ? ENDED : 0);
    for (const { reason, remaining, resetMs, retryAfterMs, delayMs } of each) {
      numbers[at] = OWNER_REASONS.indexOf(reason) + flags;
      numbers[at + 1] = remaining;
      numbers[at + 2] = resetMs;
      numbers[at + 3] = retryAfterMs;
      numbers[at + 4] = delayMs;
      at += VERDICT_NUMBERS;
    }
  }
  // A copy: a view would carry the whole buffer over the RPC.
  const written = wireVersion === 1 ? numbers.slice(1) : numbers;
  const { was } = answer;
  if (!ring && !taken && !was && !limits) return written;
  return {
    numbers: written,
    ...(ring && { ring }),
    ...(taken && { taken }),
    ...(was && { was }),
    ...(limits && { limits }),
  };
}

/**
 * Reads an answer to these checks; undefined if it has another form. Does not judge the verdicts,
 * and does not read the ring.
 */
export function decodeAnswer(wire: unknown, checks: readonly Refund[]): Answer | undefined {
  const { numbers, ring, taken, was, limits } = partsOf(wire);
  const version = versionOf(numbers);
  if (!(numbers instanceof Float64Array) || version > WIRE_VERSION) return undefined;
  let at = version === 1 ? HEAD_NUMBERS - 1 : HEAD_NUMBERS;
  if (numbers.length < at) return undefined;
  const answer: Answer = {
    atMs: numbers[at - 2] as number,
    epoch: numbers[at - 1] as number,
    verdicts: [],
  };
  if (ring) answer.ring = ring as RingRecord;
  if (Array.isArray(was)) answer.was = was.map((each) => HELD.find((one) => one === each));
  for (const { policies } of checks) {
    if (numbers[at] === MOVED) {
      answer.verdicts.push(undefined);
      at++;
      continue;
    }
    for (const [flag, name] of FLAGS) {
      if (!hasFlag(numbers[at], flag)) continue;
      answer[name] ??= [];
      answer[name][answer.verdicts.length] = true;
    }
    const verdicts = policies.map((_, n) => verdictAt(numbers, at + n * VERDICT_NUMBERS));
    if (taken) setTaken(verdicts, taken, answer.verdicts.length);
    if (limits) setLimits(verdicts, limits, answer.verdicts.length);
    answer.verdicts.push(verdicts);
    at += policies.length * VERDICT_NUMBERS;
  }
  return at === numbers.length ? answer : undefined;
}

/**
 * Returns true if what `decodeAnswer` can't read is an answer of another version. An owner before
 * version 1 wrote numbers without a version, too.
 */
export function isOtherVersion(wire: unknown): boolean {
  const { numbers } = partsOf(wire);
  if (!(numbers instanceof Float64Array) || numbers.length === 0) return false;
  return versionOf(numbers) !== WIRE_VERSION;
}

function versionOf(numbers: unknown): number {
  const first = numbers instanceof Float64Array ? (numbers[0] ?? 0) : 0;
  return first > 1 && first < MAX_WIRE_VERSION ? first : 1;
}

/** Returns the parts of an answer, if it has a known form. */
function partsOf(wire: unknown): {
  numbers?: unknown;
  ring?: unknown;
  taken?: unknown;
  was?: unknown;
  limits?: unknown;
} {
  if (wire instanceof Float64Array) return { numbers: wire };
  return typeof wire === "object" && wire !== null ? wire : {};
}

function setTaken(verdicts: readonly Verdict[], taken: unknown, index: number): void {
  const units: unknown = Array.isArray(taken) ? taken[index] : undefined;
  if (units === undefined) return;
  for (const verdict of verdicts) verdict.taken = typeof units === "number" ? units : Number.NaN;
}

function setLimits(verdicts: readonly Verdict[], limits: unknown, index: number): void {
  const each: unknown = Array.isArray(limits) ? limits[index] : undefined;
  for (const [at, verdict] of verdicts.entries()) {
    const limit: unknown = Array.isArray(each) ? each[at] : undefined;
    if (limit !== undefined) verdict.limit = typeof limit === "number" ? limit : Number.NaN;
  }
}

function hasFlag(code = MOVED, flag: number): boolean {
  return code >= 0 && (code & flag) !== 0;
}

function verdictAt(numbers: Float64Array, at: number): Verdict {
  const code = numbers[at] ?? -1;
  const reason = code < MAX_CODE ? code % INEXACT : code;
  const remaining = numbers[at + 1] ?? -1;
  const resetMs = numbers[at + 2] ?? -1;
  const retryAfterMs = numbers[at + 3] ?? -1;
  return verdictOf(reason, remaining, resetMs, retryAfterMs, numbers[at + 4] ?? -1);
}
