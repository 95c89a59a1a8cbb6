/**
 * One call to an owner, over in time or failed: native RPC, a deadline, and a look at the answer.
 *
 * Never retries, and keeps the platform from it: a check is not idempotent, and one that timed out
 * may have counted.
 */
import type { Verdict } from "../limit/decision.ts";
import { MAX_WINDOW_MS } from "../limit/policy.ts";
import type { Check, CounterPolicy, Explanation, Refund } from "../owner/counters.ts";
import {
  type Answer,
  decodeAnswer,
  encodeBatch,
  type WireAnswer,
  type WireBatch,
} from "../owner/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";

/** The methods of the `RateLimiter` object, as a stub offers them. */
export interface OwnerStub {
  check(batch: WireBatch): Promise<WireAnswer>;
  peek(batch: WireBatch): Promise<WireAnswer>;
  refund(batch: WireBatch): Promise<WireAnswer>;
  reset(batch: Check[]): Promise<void>;
  block(key: KeyHash, durationMs: number): Promise<void>;
  unblock(key: KeyHash): Promise<void>;
  explain(check: Check): Promise<{ blockedMs: number; policies: Explanation[] }>;
}

/** The part of `DurableObjectNamespace<RateLimiter>` that a caller needs. */
export interface OwnerNamespace {
  getByName(name: string, options: DurableObjectNamespaceGetDurableObjectOptions): OwnerStub;
}

/** Why a call failed; `threw` is whatever the runtime or the object raised. */
export type CallFailure = "deadline" | "overloaded" | "threw" | "nonsense";

export class CallError extends Error {
  override readonly name = "CallError";
  readonly failure: CallFailure;

  constructor(failure: CallFailure, detail: string) {
    super(detail);
    this.failure = failure;
  }
}

/**
 * Calls an owner by its name, which begins with the region it is to be created in.
 *
 * @throws {CallError} if it throws or does not answer within the deadline
 */
export async function callOwner<Reply>(
  owners: OwnerNamespace,
  name: string,
  deadlineMs: number,
  call: (stub: OwnerStub) => Promise<Reply>,
): Promise<Reply> {
  const [region] = name.split("/");
  // A new stub each time: one belongs to its request, and after a failure it stays broken.
  const stub = owners.getByName(name, {
    locationHint: region as DurableObjectLocationHint,
    retry: { maxRetries: 0 },
  });
  try {
    return await Promise.race([call(stub), deadline(deadlineMs)]);
  } catch (error) {
    if (error instanceof CallError) throw error;
    const overloaded = (error as { overloaded?: unknown } | null)?.overloaded === true;
    throw new CallError(overloaded ? "overloaded" : "threw", String(error));
  }
}

/**
 * Asks an owner about checks, and makes sure that the answer is one to these checks.
 *
 * @throws {CallError} also if it is not
 */
export async function askOwner(
  owners: OwnerNamespace,
  name: string,
  deadlineMs: number,
  verb: "check" | "peek" | "refund",
  batch: Refund[],
): Promise<Answer> {
  const wire = encodeBatch(batch);
  const given = await callOwner(owners, name, deadlineMs, (stub) => stub[verb](wire));
  const answer = decodeAnswer(given, batch);
  if (answer && isSensible(answer, batch)) return answer;
  throw new CallError("nonsense", "not an answer to the question");
}

async function deadline(ms: number): Promise<never> {
  await scheduler.wait(ms);
  // After a stall of the whole isolate the answer may have arrived behind this timer.
  await scheduler.wait(0);
  throw new CallError("deadline", `no answer within ${ms} ms`);
}

function isSensible({ atMs, verdicts }: Answer, batch: readonly Check[]): boolean {
  return (
    Number.isFinite(atMs) &&
    batch.every(({ policies }, index) =>
      policies.every((policy, at) => isVerdict(verdicts[index]?.[at] as Verdict, policy)),
    )
  );
}

function isVerdict(verdict: Verdict, policy: CounterPolicy): boolean {
  const { allowed, remaining, resetMs, retryAfterMs, delayMs, reason } = verdict;
  const { limit, capacity, windowMs, cost } = policy;
  // Two windows of a sliding one, a bucket's whole content, or a block.
  const longestMs = Math.max(2 * windowMs, Math.ceil((capacity / limit) * windowMs), MAX_WINDOW_MS);
  return (
    reason !== "failed" &&
    allowed === (retryAfterMs === 0) &&
    !(reason === "limited" && remaining >= cost) &&
    isWhole(remaining, capacity) &&
    isWhole(resetMs, longestMs) &&
    isWhole(retryAfterMs, longestMs) &&
    isWhole(delayMs, longestMs)
  );
}

function isWhole(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}
