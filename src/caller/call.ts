/**
 * One call to an owner, over in time or failed: native RPC, a deadline, and a look at the answer.
 *
 * Never retries, and keeps the platform from it: a check is not idempotent, and one that timed out
 * may have counted.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Check } from "../owner/counters.ts";

/** The methods of the `RateLimiter` object, as a stub offers them. */
export interface OwnerStub {
  check(batch: Check[]): Promise<Verdict[][]>;
  peek(batch: Check[]): Promise<Verdict[][]>;
  reset(batch: Pick<Check, "key" | "policies">[]): Promise<void>;
}

/** The part of `DurableObjectNamespace<RateLimiter>` that a caller needs. */
export interface OwnerNamespace {
  getByName(name: string, options: DurableObjectNamespaceGetDurableObjectOptions): OwnerStub;
}

/** Why a call failed: `threw` is what runtime or object raised, `skipped` that it was not made. */
export type CallFailure = "deadline" | "overloaded" | "threw" | "nonsense" | "skipped";

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
export async function callOwner<Answer>(
  owners: OwnerNamespace,
  name: string,
  deadlineMs: number,
  call: (stub: OwnerStub) => Promise<Answer>,
): Promise<Answer> {
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

/** Asks an owner about checks, and makes sure that the answer is one to these checks. */
export async function askOwner(
  owners: OwnerNamespace,
  name: string,
  deadlineMs: number,
  verb: "check" | "peek",
  batch: Check[],
): Promise<Verdict[][]> {
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

function isAnswer(answer: unknown, batch: readonly Check[]): answer is Verdict[][] {
  return (
    Array.isArray(answer) &&
    answer.length === batch.length &&
    batch.every(({ policies }, index) => {
      const verdicts: unknown = answer[index];
      return (
        Array.isArray(verdicts) &&
        verdicts.length === policies.length &&
        policies.every(({ limit }, at) => isVerdict(verdicts[at], limit))
      );
    })
  );
}

function isVerdict(value: unknown, limit: number): value is Verdict {
  if (typeof value !== "object" || value === null) return false;
  const { allowed, remaining, resetMs, retryAfterMs, delayMs } = value as Record<string, unknown>;
  return (
    allowed === (retryAfterMs === 0) &&
    isBetween(remaining, 0, limit) &&
    [resetMs, retryAfterMs, delayMs].every((ms) => isBetween(ms, 0, Number.MAX_SAFE_INTEGER))
  );
}

function isBetween(value: unknown, least: number, most: number): boolean {
  return typeof value === "number" && value >= least && value <= most;
}
