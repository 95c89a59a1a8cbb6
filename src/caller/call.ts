/**
 * One call to an owner, over in time or failed: native RPC, a deadline, and a look at the answer.
 *
 * Never retries, and keeps the platform from it: a check is not idempotent, and one that timed out
 * may have counted.
 */

import type { CounterPolicy } from "../counters/counters.ts";
import type { Verdict } from "../limit/decision.ts";
import { MAX_WINDOW_MS } from "../limit/policy.ts";
import { logSeldom } from "../log.ts";
import { wrongClass } from "../protocol/bindings.ts";
import { DeadlineError, withDeadline } from "../protocol/deadline.ts";
import { readRingRecord, regionOf } from "../protocol/ring-record.ts";
import { type CounterNamespace, type CounterStub, stubOf } from "../protocol/rpc.ts";
import { type Answer, type Batch, decodeAnswer, encodeBatch } from "../protocol/wire.ts";
import type { Runtime } from "../runtime.ts";

/** What is asked of an owner about many keys at once. */
export type Verb = "check" | "peek" | "refund" | "reset";

/** Why a call failed; `threw` is whatever the runtime or the object raised. */
export type CallFailure = "deadline" | "overloaded" | "threw" | "nonsense" | "wrong-class";

export class CallError extends Error {
  override readonly name = "CallError";
  readonly failure: CallFailure;

  constructor(failure: CallFailure, detail: string) {
    super(detail);
    this.failure = failure;
  }
}

/** How calls are made: to which objects, in what runtime, and how long they may take. */
export interface Line {
  namespace: CounterNamespace;
  runtime: Runtime;
  deadlineMs: number;
  /** Told of an answer that came too late, and after how long. */
  heardLate?: ((owner: string, tookMs: number) => void) | undefined;
}

/** How long to listen for an answer that is too late, in deadlines. */
const LATE_DEADLINES = 4;

/**
 * Calls an owner by its name, which begins with the region it is to be created in.
 *
 * @throws {CallError} if it throws or does not answer within the deadline
 */
export async function callOwner<Reply>(
  line: Line,
  name: string,
  call: (stub: CounterStub) => Promise<Reply>,
): Promise<Reply> {
  const { namespace, runtime, deadlineMs } = line;
  const stub = stubOf(namespace, name);
  const sentMs = runtime.now();
  let reply: Promise<Reply> | undefined;
  try {
    reply = call(stub);
    return await withDeadline(deadlineMs, reply, runtime);
  } catch (error) {
    if (error instanceof DeadlineError) {
      listen(line, name, reply, sentMs);
      throw new CallError("deadline", error.message);
    }
    const detail = wrongClass(error);
    if (detail) throw new CallError("wrong-class", detail);
    const overloaded = (error as { overloaded?: unknown } | null)?.overloaded === true;
    throw new CallError(overloaded ? "overloaded" : "threw", String(error));
  }
}

/** Listens for a while for an answer that is too late. */
function listen(
  { runtime, deadlineMs, heardLate }: Line,
  owner: string,
  reply: Promise<unknown> | undefined,
  sentMs: number,
): void {
  if (!heardLate || !reply) return;
  const heard = reply.then(
    () => heardLate(owner, runtime.now() - sentMs),
    // The call has failed already: that it threw, too, is no news.
    () => {},
  );
  runtime.keepAlive(Promise.race([heard, runtime.wait(LATE_DEADLINES * deadlineMs)]));
}

/**
 * Asks an owner about checks, and makes sure that the answer is one to these checks.
 *
 * @throws {CallError} also if it is not
 */
export async function askOwner(
  line: Line,
  name: string,
  verb: Verb,
  batch: Batch,
): Promise<Answer> {
  const wire = encodeBatch(batch);
  const given = await callOwner(line, name, (stub) => stub[verb](wire));
  const answer = decodeAnswer(given, batch.checks);
  if (!answer || !isSensible(answer, batch, name)) {
    throw new CallError("nonsense", "not an answer to the question");
  }
  for (const [index, { policies }] of batch.checks.entries()) {
    if (isBelievable(answer, index, policies)) continue;
    // It fails this check alone: others of the batch, and the owner's other keys, have their answers.
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
  // Moved, which makes sense only with a ring that says where to.
  if (!each) return ring !== undefined;
  return policies.every((policy, at) => isVerdict(each[at] as Verdict, policy));
}

function isOtherRing(ring: unknown, version: number, owner: string): boolean {
  try {
    return readRingRecord(regionOf(owner), ring).version !== version;
  } catch {
    return false;
  }
}

/** Can this be what an owner of ours says of a check under that policy? */
export function isVerdict(verdict: Verdict, policy: CounterPolicy): boolean {
  const { allowed, remaining, resetMs, retryAfterMs, delayMs, reason, taken = 0 } = verdict;
  const { capacity, windowMs, cost } = policy;
  // Two windows of a sliding one, a bucket's whole content, or a block.
  const longestMs = Math.max(2 * windowMs, MAX_WINDOW_MS);
  return (
    reason !== "failed" &&
    allowed === (retryAfterMs === 0) &&
    !(reason === "limited" && remaining >= cost) &&
    isWhole(remaining, capacity) &&
    isWhole(taken, allowed ? cost : 0) &&
    isWhole(resetMs, longestMs) &&
    isWhole(retryAfterMs, longestMs) &&
    isWhole(delayMs, longestMs)
  );
}

function isWhole(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}
