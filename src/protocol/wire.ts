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

import type { CounterPolicy, Refund } from "../counters/check.ts";
import { addHold, encodeHolds } from "./holds.ts";

/** Checks, and the version of the ring that named this owner. */
export interface Batch {
  /** 0 if the caller knows only the configured ring. */
  version: number;
  checks: readonly Refund[];
}

/**
 * The version in which a caller asks. An answer of version 1 does not say its version, and
 * begins with the owner's clock.
 */
export const WIRE_VERSION = 2;
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
  /** The version of the live policies that the caller has; absent if it has the deployment's. */
  live?: number;
}

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
  const spentOn = ({ spentAtMs = Number.NaN, resetMs = Number.NaN }: Refund) => [
    spentAtMs,
    resetMs,
  ];
  const tells = batch.some(({ spentAtMs }) => spentAtMs !== undefined);
  const spent = tells ? Float64Array.from(batch.flatMap(spentOn)) : null;
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
    // Most checks have the policies of the previous check, and share its array.
    let isSame = asked.length === count;
    for (let n = 0; isSame && n < count; n++) {
      isSame = asked[n] === policies[words[at + n] as number];
    }
    if (!isSame) {
      asked = [];
      for (let n = 0; n < count; n++)
        asked.push(policies[words[at + n] as number] as CounterPolicy);
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
