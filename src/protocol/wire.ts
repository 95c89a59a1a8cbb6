/**
 * How checks and verdicts cross the RPC: as few objects as possible, however large the batch.
 *
 * Numbers in flat arrays are copied in one go. Objects are written and read field by field on both
 * sides: for a batch of 100, that would cost more than all the counting.
 *
 * Versions. During a deployment callers and owners of two versions talk to each other. A caller
 * does not know its owner's version when it asks. So a batch only ever gains fields, which an older
 * owner does not read. An owner answers in the version that it was asked in, or in its own if that
 * is lower. A caller reads its own version and the one before.
 */

import { type CounterPolicy, HELD, type Refund, type WasHeld } from "../counters/check.ts";
import { OWNER_REASONS, type Verdict, verdictOf } from "../limit/decision.ts";
import { addHold, encodeHolds } from "./holds.ts";
import type { RingRecord } from "./ring-record.ts";

/** Checks, and the version of the ring that named this owner. */
export interface Batch {
  /** 0 if the caller knows only the configured ring. */
  version: number;
  checks: readonly Refund[];
}

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

/**
 * The version in which a caller asks. An answer of version 1 does not say its version, and
 * begins with the owner's clock.
 */
export const WIRE_VERSION = 2;
/** Above any version, and below any owner's clock. */
const MAX_WIRE_VERSION = 1_000;

/** A batch on its way to an owner. */
export interface WireBatch {
  /** Absent in version 1. */
  wireVersion?: number;
  version: number;
  /** The distinct policies of the batch; `words` has their indices. */
  policies: CounterPolicy[];
  /** For each check: the hash's halves, how many policies, and the index of each. */
  words: Uint32Array<ArrayBuffer>;
  /** For each check its `spentAtMs` and `resetMs`, NaN if unknown; null if all are unknown. */
  spent: Float64Array<ArrayBuffer> | null;
  /** For each check its `requestId`, NaN if it has none; absent if none has. */
  requestIds?: Float64Array<ArrayBuffer>;
  /** The holds that checks make or settle, as `encodeHolds` writes them; absent if none does. */
  holds?: Float64Array<ArrayBuffer>;
}

/**
 * The version, the owner's clock and its epoch; then five numbers for each verdict: reason,
 * remaining, and three durations.
 */
type Numbers = Float64Array<ArrayBuffer>;

export type WireAnswer =
  | Numbers
  | { numbers: Numbers; ring?: RingRecord; taken?: Taken; was?: Answer["was"] };

/**
 * Units taken, by the index of each check that took what was left. Most answers have no such check.
 */
type Taken = (number | undefined)[];

/** In place of a reason: the key has moved. */
const MOVED = -1;
/** Added to the reason if some of the count may be lost. */
const INEXACT = 8;
/** Added to the reason if the lease that the check tells of has ended. */
const ENDED = 16;
/** Above any sum of these. */
const MAX_CODE = 32;
const FLAGS = [
  [INEXACT, "inexact"],
  [ENDED, "ended"],
] as const;
const VERDICT_NUMBERS = 5;
/** Numbers before the first verdict. In version 1 there is one less. */
const HEAD_NUMBERS = 3;
/** Words before the indices of a check's policies. */
const KEY_WORDS = 3;
/** Numbers of each check in `spent`. */
const SPENT_NUMBERS = 2;

export function encodeBatch({ version, checks: batch }: Batch): WireBatch {
  const policies: CounterPolicy[] = [];
  const length = batch.reduce((sum, check) => sum + KEY_WORDS + check.policies.length, 0);
  const words = new Uint32Array(length);
  let at = 0;
  for (const { key, policies: asked } of batch) {
    words[at++] = key.hi;
    words[at++] = key.lo;
    words[at++] = asked.length;
    for (const policy of asked) {
      const index = policies.indexOf(policy);
      words[at++] = index < 0 ? policies.push(policy) - 1 : index;
    }
  }
  const tells = batch.some(({ spentAtMs }) => spentAtMs !== undefined);
  const spent = tells ? new Float64Array(batch.length * SPENT_NUMBERS) : null;
  for (const [index, { spentAtMs, resetMs }] of spent ? batch.entries() : []) {
    spent?.set([spentAtMs ?? Number.NaN, resetMs ?? Number.NaN], index * SPENT_NUMBERS);
  }
  const wire: WireBatch = { wireVersion: WIRE_VERSION, version, policies, words, spent };
  if (batch.some(({ requestId }) => requestId !== undefined)) {
    wire.requestIds = Float64Array.from(batch, ({ requestId = Number.NaN }) => requestId);
  }
  const holds = encodeHolds(batch);
  if (holds) wire.holds = holds;
  return wire;
}

export function decodeBatch(batch: WireBatch): Batch {
  const { version, policies, words, spent, requestIds, holds } = batch;
  const checks: Refund[] = [];
  let asked: CounterPolicy[] = [];
  for (let at = 0; at < words.length; ) {
    const key = { hi: words[at] as number, lo: words[at + 1] as number };
    const count = words[at + 2] as number;
    at += KEY_WORDS;
    // Most checks have the policies of the check before, and share its array.
    let isSame = asked.length === count;
    for (let n = 0; isSame && n < count; n++) {
      isSame = asked[n] === policies[words[at + n] as number];
    }
    if (!isSame) {
      const indices = words.subarray(at, at + count);
      asked = Array.from(indices, (index) => policies[index] as CounterPolicy);
    }
    at += count;
    const check: Refund = { key, policies: asked };
    if (spent) {
      const offset = checks.length * SPENT_NUMBERS;
      check.spentAtMs = known(spent[offset]);
      check.resetMs = known(spent[offset + 1]);
    }
    const requestId = requestIds && known(requestIds[checks.length]);
    if (requestId !== undefined) check.requestId = requestId;
    if (holds) addHold(check, holds, checks.length);
    checks.push(check);
  }
  return { version, checks };
}

function known(number = Number.NaN): number | undefined {
  return Number.isNaN(number) ? undefined : number;
}

/** @param wireVersion the version of the batch that is answered; 1 if it does not say it */
export function encodeAnswer(answer: Answer, wireVersion = WIRE_VERSION): WireAnswer {
  const { atMs, epoch, verdicts, inexact, ended, ring } = answer;
  let length = HEAD_NUMBERS;
  for (const each of verdicts) length += each ? each.length * VERDICT_NUMBERS : 1;
  const numbers = new Float64Array(length);
  numbers[0] = WIRE_VERSION;
  numbers[1] = atMs;
  numbers[2] = epoch;
  let taken: Taken | undefined;
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
  if (!ring && !taken && !was) return written;
  return { numbers: written, ...(ring && { ring }), ...(taken && { taken }), ...(was && { was }) };
}

/**
 * Reads an answer to these checks; undefined if it has another form. Does not judge the verdicts,
 * and does not read the ring.
 */
export function decodeAnswer(wire: unknown, checks: readonly Refund[]): Answer | undefined {
  const { numbers, ring, taken, was } = partsOf(wire);
  const version = versionOf(numbers);
  if (!(numbers instanceof Float64Array) || version > WIRE_VERSION) return undefined;
  let at = version === 1 ? HEAD_NUMBERS - 1 : HEAD_NUMBERS;
  if (numbers.length < at) return undefined;
  const [atMs = 0, epoch = 0] = numbers.subarray(at - 2, at);
  const answer: Answer = { atMs, epoch, verdicts: [] };
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
    answer.verdicts.push(verdicts);
    at += policies.length * VERDICT_NUMBERS;
  }
  return at === numbers.length ? answer : undefined;
}

/**
 * Is this an answer in a version that is not read here? To be asked of what `decodeAnswer` can't
 * read. An owner before version 1 wrote numbers without a version, too.
 */
export function isOtherVersion(wire: unknown): boolean {
  const { numbers } = partsOf(wire);
  if (!(numbers instanceof Float64Array) || numbers.length === 0) return false;
  return versionOf(numbers) !== WIRE_VERSION;
}

function versionOf(numbers: unknown): number {
  const [first = 0] = numbers instanceof Float64Array ? numbers : [];
  return first > 1 && first < MAX_WIRE_VERSION ? first : 1;
}

/** Returns the parts of an answer, if it has a known form. */
function partsOf(wire: unknown): {
  numbers?: unknown;
  ring?: unknown;
  taken?: unknown;
  was?: unknown;
} {
  if (wire instanceof Float64Array) return { numbers: wire };
  return typeof wire === "object" && wire !== null ? wire : {};
}

function setTaken(verdicts: readonly Verdict[], taken: unknown, index: number): void {
  const units: unknown = Array.isArray(taken) ? taken[index] : undefined;
  if (units === undefined) return;
  for (const verdict of verdicts) verdict.taken = typeof units === "number" ? units : Number.NaN;
}

function hasFlag(code = MOVED, flag: number): boolean {
  return code >= 0 && (code & flag) !== 0;
}

function verdictAt(numbers: Float64Array, at: number): Verdict {
  const code = numbers[at] ?? -1;
  const reason = code < MAX_CODE ? code % INEXACT : code;
  const number = (offset: number) => numbers[at + offset] ?? -1;
  return verdictOf(reason, number(1), number(2), number(3), number(4));
}
