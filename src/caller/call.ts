/**
 * One call to an owner, over in time or failed: native RPC, a deadline, and a look at the answer.
 *
 * Never retries, and keeps the platform from it: a check is not idempotent, and one that timed out
 * may have counted.
 */
import type { Verdict } from "../limit/decision.ts";
import { MAX_WINDOW_MS } from "../limit/policy.ts";
import type { Check, CounterPolicy, Explanation, Refund } from "../owner/counters.ts";
import type { Answer } from "../owner/owner.ts";
import type { KeyHash } from "../ring/key-hash.ts";

/** The methods of the `RateLimiter` object, as a stub offers them. */
export interface OwnerStub {
  check(batch: Check[]): Promise<Answer>;
  peek(batch: Check[]): Promise<Answer>;
  refund(batch: Refund[]): Promise<Answer>;
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
  batch: Check[],
): Promise<Answer> {
  const answer = await callOwner(owners, name, deadlineMs, (stub) => stub[verb](batch));
  if (!isAnswer(answer, batch)) throw new CallError("nonsense", "not an answer to the question");
  return answer;
}

async function deadline(ms: number): Promise<never> {
  await scheduler.wait(ms);
  // After a stall of the whole isolate the answer may have arrived behind this timer.
  await scheduler.wait(0);
  throw new CallError("deadline", `no answer within ${ms} ms`);
}

function isAnswer(answer: unknown, batch: readonly Check[]): answer is Answer {
  if (typeof answer !== "object" || answer === null) return false;
  const { atMs, verdicts } = answer as Partial<Record<keyof Answer, unknown>>;
  return (
    typeof atMs === "number" &&
    Array.isArray(verdicts) &&
    verdicts.length === batch.length &&
    batch.every(({ policies }, index) => {
      const each: unknown = verdicts[index];
      return (
        Array.isArray(each) &&
        each.length === policies.length &&
        policies.every((policy, at) => isVerdict(each[at], policy))
      );
    })
  );
}

function isVerdict(value: unknown, policy: CounterPolicy): value is Verdict {
  if (typeof value !== "object" || value === null) return false;
  const { allowed, remaining, resetMs, retryAfterMs, delayMs, reason } = value as Partial<
    Record<keyof Verdict, unknown>
  >;
  const { limit, capacity, windowMs, cost } = policy;
  // Two windows of a sliding one, a bucket's whole content, or a block.
  const longestMs = Math.max(2 * windowMs, Math.ceil((capacity / limit) * windowMs), MAX_WINDOW_MS);
  const isReason = (allowed ? ["ok", "shadow"] : ["limited", "blocked"]).includes(String(reason));
  const isRoomLeft = reason === "limited" && Number(remaining) >= cost;
  return (
    allowed === (retryAfterMs === 0) &&
    isReason &&
    !isRoomLeft &&
    isWhole(remaining, capacity) &&
    [resetMs, retryAfterMs, delayMs].every((ms) => isWhole(ms, longestMs))
  );
}

function isWhole(value: unknown, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}
