/**
 * Denials as numbers in one list: a tenth of the memory that objects take.
 *
 * A list holds the denials of one key, or of keys whose hashes begin alike.
 */
import { OWNER_REASONS, type Verdict, verdictOf } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { type Heard, RENEWAL_MS } from "./owner-pulse.ts";

type List = readonly number[];

/** A denial to be remembered. All times are ms since the epoch. */
export interface Denial {
  key: KeyHash;
  owner: number;
  /** See `PolicyNumbers`. */
  policies: readonly number[];
  costs: readonly number[];
  verdicts: readonly Verdict[];
  sentMs: number;
  /** The owner's epoch then; NaN if later answers about other keys must not renew the trust. */
  epoch: number;
  /** How long it is trusted after the owner was last heard of. */
  trustMs: number;
  /**
   * When the answer arrived. Durations count from here, so they may be too long, never too short.
   */
  receivedAtMs: number;
}

const LENGTH = 0;
const KEY_HI = 1;
const KEY_LO = 2;
const OWNER = 3;
const SENT_MS = 4;
const EPOCH = 5;
const TRUST_MS = 6;
const RECEIVED_AT_MS = 7;
/** When time may change a verdict: the denial ends here. */
const PASSES_AT_MS = 8;
/** 1 if a request has been let through to renew it, else 0. */
const IS_RENEWING = 9;
const HEAD = 10;

/** Offsets of each policy's numbers, which begin at `HEAD`. */
const POLICY = 0;
const COST = 1;
const REASON = 2;
const REMAINING = 3;
const RESET_MS = 4;
const RETRY_AFTER_MS = 5;
const DELAY_MS = 6;
/** NaN without an override. */
const LIMIT = 7;
const EACH = 8;

export function append(list: number[], denial: Denial): void {
  const { key, owner, policies, costs, verdicts, sentMs, epoch, trustMs, receivedAtMs } = denial;
  list.push(
    HEAD + policies.length * EACH,
    key.hi,
    key.lo,
    owner,
    sentMs,
    epoch,
    trustMs,
    receivedAtMs,
  );
  list.push(sentMs + changesInMs(verdicts), 0);
  for (const [at, verdict] of verdicts.entries()) {
    const { reason, remaining, resetMs, retryAfterMs, delayMs, limit = Number.NaN } = verdict;
    list.push(policies[at] as number, costs[at] as number, OWNER_REASONS.indexOf(reason));
    list.push(remaining, resetMs, retryAfterMs, delayMs, limit);
  }
}

/** Returns the index after that denial: the next one's, or the end of the list. */
export function next(list: List, at: number): number {
  return at + (list[at + LENGTH] as number);
}

export function offsets(list: List): number[] {
  const found: number[] = [];
  for (let at = 0; at < list.length; at = next(list, at)) found.push(at);
  return found;
}

export function copy(list: List, at: number): number[] {
  return list.slice(at, next(list, at));
}

export function isOf(list: List, at: number, key: KeyHash, owner: number, policies: number) {
  return (
    list[at + KEY_HI] === key.hi &&
    list[at + KEY_LO] === key.lo &&
    list[at + OWNER] === owner &&
    list[at + LENGTH] === HEAD + policies * EACH
  );
}

/** Returns true if each policy costs at least as much as in the denial. */
export function isCovered(list: List, at: number, policies: readonly Policy[]): boolean {
  for (let index = 0; index < policies.length; index++) {
    const { cost } = policies[index] as Policy;
    if ((list[at + HEAD + index * EACH + COST] as number) > cost) return false;
  }
  return true;
}

export function ownerAt(list: List, at: number): number {
  return list[at + OWNER] as number;
}

export function policyAt(list: List, at: number, index: number): number {
  return list[at + HEAD + index * EACH + POLICY] as number;
}

/** Returns when trust in a denial ends, ms since the epoch. Time may end the denial before that. */
export function trustedUntilMs(list: List, at: number, heard: Heard | undefined): number {
  const isSameEpoch = heard !== undefined && heard.epoch === list[at + EPOCH];
  const fromMs = isSameEpoch ? heard.sentMs : (list[at + SENT_MS] as number);
  return fromMs + (list[at + TRUST_MS] as number);
}

export function isTrusted(list: List, at: number, trustedUntilMs: number, nowMs: number): boolean {
  return nowMs < trustedUntilMs && nowMs < (list[at + PASSES_AT_MS] as number);
}

/**
 * Returns true if trust runs out soon, before time ends the denial, and no request was sent to
 * renew it.
 */
export function isDue(list: List, at: number, trustedUntilMs: number, nowMs: number): boolean {
  if (list[at + IS_RENEWING] === 1 || trustedUntilMs > (list[at + PASSES_AT_MS] as number))
    return false;
  return nowMs >= trustedUntilMs - RENEWAL_MS;
}

export function noteRenewing(list: number[], at: number): void {
  list[at + IS_RENEWING] = 1;
}

export function isOver(list: List, nowMs: number): boolean {
  for (let at = 0; at < list.length; at = next(list, at)) {
    if (nowMs < (list[at + PASSES_AT_MS] as number)) return false;
  }
  return true;
}

/** Returns the verdicts, with durations as of now. */
export function verdictsOf(list: List, at: number, nowMs: number): Verdict[] {
  const ageMs = Math.max(0, nowMs - (list[at + RECEIVED_AT_MS] as number));
  const endAt = next(list, at);
  const verdicts: Verdict[] = [];
  for (let each = at + HEAD; each < endAt; each += EACH) {
    const reason = list[each + REASON] as number;
    const remaining = list[each + REMAINING] as number;
    const resetMs = Math.max(0, (list[each + RESET_MS] as number) - ageMs);
    const retryAfterMs = Math.max(0, (list[each + RETRY_AFTER_MS] as number) - ageMs);
    const delayMs = list[each + DELAY_MS] as number;
    const verdict = verdictOf(reason, remaining, resetMs, retryAfterMs, delayMs);
    const limit = list[each + LIMIT] as number;
    verdicts.push(Number.isNaN(limit) ? verdict : { ...verdict, limit });
  }
  return verdicts;
}

/** Returns the milliseconds until time changes one of the verdicts. */
function changesInMs(verdicts: readonly Verdict[]): number {
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const { retryAfterMs, resetMs } of verdicts) {
    if (retryAfterMs > 0) soonestMs = Math.min(soonestMs, retryAfterMs);
    if (resetMs > 0) soonestMs = Math.min(soonestMs, resetMs);
  }
  return soonestMs;
}
