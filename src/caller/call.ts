/**
 * One call to an owner: native RPC, a deadline, and a check that the answer makes sense.
 *
 * Never retries, and keeps the platform from retrying. A check is not idempotent, and a call that
 * missed its deadline may have counted.
 */

import type { CounterPolicy } from "../counters/check.ts";
import { MAX_WINDOW_MS } from "../limit/algorithm.ts";
import type { Verdict } from "../limit/decision.ts";
import { MAX_UNITS } from "../limit/policy-schema.ts";
import { logSeldom } from "../log.ts";
import { wrongClass } from "../protocol/bindings.ts";
import { DeadlineError, withDeadline } from "../protocol/deadline.ts";
import { readRingRecord, regionOfOwner } from "../protocol/ring-record.ts";
import { type CounterNamespace, type CounterStub, stubOf } from "../protocol/rpc.ts";
import { type Batch, encodeBatch } from "../protocol/wire.ts";
import { type Answer, decodeAnswer, isOtherVersion } from "../protocol/wire-answer.ts";
import type { Runtime } from "../runtime.ts";

/** An owner's method that takes a batch and returns an `Answer`. */
export type Verb = "check" | "peek" | "refund" | "reset";

/**
 * Why a call failed. `threw`: the runtime or the object raised an error. `moved`: a key kept
 * moving. `wire-version`: the object is of a version too far from this one.
 */
export type CallFailure =
  | "deadline"
  | "overloaded"
  | "threw"
  | "moved"
  | "nonsense"
  | "wrong-class"
  | "wire-version";

export class CallError extends Error {
  override readonly name = "CallError";
  readonly failure: CallFailure;

  constructor(failure: CallFailure, detail: string) {
    super(detail);
    this.failure = failure;
  }
}

/** Deadline of an operator's call, whose object may be far away and cold. */
export const OPERATOR_DEADLINE_MS = 5_000;

export interface CallOptions {
  namespace: CounterNamespace;
  runtime: Runtime;
  deadlineMs: number;
  /** Called when an answer comes after the deadline, `tookMs` after the call. */
  onLateAnswer?: ((owner: string, tookMs: number) => void) | undefined;
}

/** How long to listen for a late answer once the deadline has passed, in deadlines. */
const LATE_DEADLINES = 4;

/**
 * Calls an owner. Its name begins with the region that the platform creates it in.
 *
 * @throws {CallError} if it throws or does not answer within the deadline
 */
export async function callOwner<Reply>(
  options: CallOptions,
  name: string,
  call: (stub: CounterStub) => Promise<Reply>,
): Promise<Reply> {
  const { namespace, runtime, deadlineMs } = options;
  const stub = stubOf(namespace, name);
  const sentMs = runtime.now();
  let reply: Promise<Reply> | undefined;
  try {
    reply = call(stub);
    return await withDeadline(deadlineMs, reply, runtime);
  } catch (error) {
    if (error instanceof DeadlineError) {
      listen(options, name, reply, sentMs);
      throw new CallError("deadline", error.message);
    }
    const detail = wrongClass(error);
    if (detail) throw new CallError("wrong-class", detail);
    const overloaded = (error as { overloaded?: unknown } | null)?.overloaded === true;
    throw new CallError(overloaded ? "overloaded" : "threw", String(error));
  }
}

function listen(
  { runtime, deadlineMs, onLateAnswer }: CallOptions,
  owner: string,
  reply: Promise<unknown> | undefined,
  sentMs: number,
): void {
  if (!onLateAnswer || !reply) return;
  const heard = reply.then(
    () => onLateAnswer(owner, runtime.now() - sentMs),
    // The call has already failed, so a late rejection adds nothing.
    () => {},
  );
  runtime.keepAlive(Promise.race([heard, runtime.wait(LATE_DEADLINES * deadlineMs)]));
}

/**
 * Sends an owner a batch of checks, and makes sure that the answer fits them.
 *
 * @throws {CallError} if the call fails or the answer does not fit
 */
export async function askOwner(
  options: CallOptions,
  name: string,
  verb: Verb,
  batch: Batch,
): Promise<Answer> {
  const wire = encodeBatch(batch);
  const given = await callOwner(options, name, (stub) => stub[verb](wire));
  const answer = decodeAnswer(given, batch.checks);
  if (!answer && isOtherVersion(given)) {
    throw new CallError("wire-version", "an answer in another version");
  }
  if (!answer || !isSensible(answer, batch, name)) {
    throw new CallError("nonsense", "not an answer to the question");
  }
  for (const [index, { policies }] of batch.checks.entries()) {
    if (isBelievable(answer, index, policies)) continue;
    // Only this check fails. The other checks of the batch keep their verdicts.
    answer.verdicts[index] = [];
    logSeldom("warn", "verdict-refused", name, { owner: name, policy: policies[0]?.name });
  }
  return answer;
}

function isSensible({ atMs, epoch, ring }: Answer, { version }: Batch, owner: string): boolean {
  if (ring && !isOtherRing(ring, version, owner)) return false;
  return Number.isFinite(atMs) && Number.isFinite(epoch);
}

function isBelievable(
  { verdicts, ring }: Answer,
  index: number,
  policies: readonly CounterPolicy[],
): boolean {
  const each = verdicts[index];
  // The key has moved, which makes sense only with a ring that says where it is now.
  if (!each) return ring !== undefined;
  return policies.every((policy, at) => isVerdict(each[at] as Verdict, policy));
}

function isOtherRing(ring: unknown, version: number, owner: string): boolean {
  try {
    return readRingRecord(regionOfOwner(owner), ring).version !== version;
  } catch {
    return false;
  }
}

/** Returns true if an owner that works correctly could give this verdict under the policy. */
export function isVerdict(verdict: Verdict, policy: CounterPolicy): boolean {
  const { allowed, remaining, resetMs, retryAfterMs, delayMs, reason, taken = 0, limit } = verdict;
  const { windowMs, cost } = policy;
  const capacity = limit === undefined ? policy.capacity : MAX_UNITS;
  // The longest waits are two windows (sliding window), a full bucket, and a block.
  const longestMs = Math.max(2 * windowMs, MAX_WINDOW_MS);
  return (
    reason !== "failed" &&
    allowed === (retryAfterMs === 0) &&
    // A check without a cost is denied if a check of one unit would be.
    !(reason === "limited" && remaining >= (cost || 1)) &&
    isWhole(remaining, capacity) &&
    isWhole(limit ?? 0, MAX_UNITS) &&
    isWhole(taken, allowed ? cost : 0) &&
    isWhole(resetMs, longestMs) &&
    isWhole(retryAfterMs, longestMs) &&
    isWhole(delayMs, longestMs)
  );
}

function isWhole(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}
