/**
 * The interface of Cloudflare's rate limiting binding: what `limit` takes and what it answers.
 *
 * A call passes while the key has any unit left. It then takes `delta`, or what is left if that is
 * less. A check of Turnpike's own passes only if all of its cost is left. A refused call takes
 * nothing under either rule.
 *
 * Two mistakes that Cloudflare's binding lets pass are errors here: a call without `key`, and a
 * `delta` such as 1.5, which counts as 1 there.
 */
import type { Decision } from "../limit/decision.ts";
import { MisuseError } from "../limit/misuse.ts";

export interface LimitOptions {
  /** Any text, the empty one too. Undefined is the empty text, as in Cloudflare's binding. */
  key: string | undefined;
  /**
   * Units that the call takes if it passes: a whole number from 1 to 4,294,967,295. Default the
   * policy's `cost`, which is 1 unless the policy says otherwise.
   */
  delta?: number | undefined;
}

/** `success` is what Cloudflare's binding answers. Libraries look for the other fields, too. */
export interface LimitOutcome {
  success: boolean;
  /** Units in a whole quota. */
  limit: number;
  /** Units that could be spent right now. */
  remaining: number;
  /**
   * When the quota is whole again, or, if the call was refused, when it could pass. Milliseconds
   * since the epoch.
   */
  reset: number;
}

const FIELDS = ["key", "delta"];
const MAX_DELTA = 2 ** 32 - 1;
/** The largest cost of a check. No policy has more units. */
const MAX_COST = 1_000_000_000;

/** @throws {MisuseError} naming the field, the rule and the value */
export function readLimit(options: unknown): { key: string; delta: number | undefined } {
  const isGiven = typeof options === "object" && options !== null;
  if (!isGiven || !("key" in options)) {
    throw new MisuseError("key", 'must be given, as in limit({ key: "user-1" })', undefined);
  }
  const { key = "", delta, ...others } = options as Record<string, unknown>;
  const [unknown] = Object.entries(others);
  if (unknown) {
    const rule = `is not one of the fields ${FIELDS.join(", ")}: the policy says the rest`;
    throw new MisuseError(unknown[0], rule, unknown[1]);
  }
  if (typeof key !== "string") throw new MisuseError("key", "must be text", key);
  return { key, delta: delta === undefined ? undefined : readDelta(delta) };
}

/** Reads a `delta`. Cloudflare's binding takes what JavaScript turns into a number, such as "2". */
function readDelta(delta: unknown): number {
  const units = Number(delta);
  if (Number.isInteger(units) && units >= 1 && units <= MAX_DELTA) return Math.min(units, MAX_COST);
  throw new MisuseError("delta", `must be a whole number from 1 to ${MAX_DELTA}`, delta);
}

/** @param nowMs milliseconds since the epoch */
export function outcomeOf(decision: Decision, nowMs: number): LimitOutcome {
  const { allowed, limit, remaining, resetMs, retryAfterMs } = decision;
  const waitMs = allowed ? resetMs : retryAfterMs;
  return { success: allowed, limit, remaining, reset: Math.ceil(nowMs + waitMs) };
}
