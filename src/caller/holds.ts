/**
 * Reservations, as the library, the API and the binding make and settle them.
 *
 * A hold's name has the region whose owner counts it, so that any isolate anywhere can settle it.
 */
import * as v from "valibot";
import type { Reservation } from "../counters/check.ts";
import type { Decision } from "../limit/decision.ts";
import { durationSchema } from "../limit/duration.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import type { Policy } from "../limit/policy.ts";
import { unitsSchema } from "../limit/policy-schema.ts";
import { textLike, wholeNumber } from "../limit/schemas.ts";
import { REGIONS, type Region } from "../ring/region.ts";
import type { Caller } from "./caller.ts";
import { decided, type Question, type Reply } from "./question.ts";

const DEFAULT_TTL = "60s";
const MAX_TTL_MS = 3_600_000;
const MAX_ACTUAL = 1_000_000_000;
const RADIX = 36;
/** Last character of the name of a hold that an owner has not counted, since it did not answer. */
const UNCOUNTED = "!";

export const ttlSchema = v.optional(durationSchema(1, MAX_TTL_MS), DEFAULT_TTL);
export const actualSchema = wholeNumber(0, MAX_ACTUAL);

const NAME = new RegExp(`^(${REGIONS.join("|")})\\.([\\da-z]{1,11})(${UNCOUNTED}?)$`);

export const holdSchema = textLike(NAME, "must be a hold as it was given");

/** What a settlement answers: what `peek` would, and what the hold was before. */
export interface SettledDecision extends Decision {
  /** `ended`: all of the actual cost was charged. `settled`: nothing changed. */
  was: "live" | "ended" | "settled";
}

/**
 * Reserves an amount for each of these questions, all or none.
 *
 * @returns the decision, and the hold's name; undefined if it was denied
 * @throws {MisuseError} if the amount could never pass
 */
export async function reserve(
  caller: Caller,
  questions: readonly Question[],
  amount: number,
  ttlMs: number,
): Promise<{ decision: Decision; hold: string | undefined }> {
  const reservation = newReservation(ttlMs);
  const asked = questions.map((question) => ({
    ...question,
    policies: question.policies.map((policy) => heldPolicy(policy, amount)),
    reserve: reservation,
  }));
  await caller.costly.requirePossible(asked, "amount");
  const replies = (await caller.checkAllOrNone([asked])).flat();
  const decision = decided(replies);
  return { decision, hold: decision.allowed ? nameOf(reservation, replies) : undefined };
}

/**
 * Replaces what a hold has spent by its actual cost; 0 releases it.
 *
 * @param questions those that the hold was made for, whatever they cost
 * @param isMade whether this isolate made the hold: then the owner charges it even after a crash
 * @throws {MisuseError} if these questions have no such hold
 * @throws {CallError} if an owner does not answer
 */
export async function settle(
  caller: Caller,
  questions: readonly Question[],
  hold: string,
  actual: number,
  isMade = false,
): Promise<SettledDecision> {
  parse(actualSchema, actual, "actual");
  const [, region = "", id = "", uncounted] = NAME.exec(parse(holdSchema, hold, "hold")) ?? [];
  const settlement = { id: Number.parseInt(id, RADIX), actual, isMade: isMade || uncounted !== "" };
  const settled = await caller.settle(
    questions.map((question) => ({
      question: { ...question, region: region as Region },
      settle: settlement,
    })),
  );
  const known = settled.find(({ was }) => was !== "unknown")?.was;
  if (known && known !== "unknown") {
    return { ...decided(settled), was: known };
  }
  const rule = "must be of this key under these policies, and at most an hour past its end";
  throw new MisuseError("hold", rule, hold);
}

/**
 * @throws {MisuseError} if the amount is no whole number, or the policy frees its units by itself
 */
function heldPolicy(policy: Policy, amount: number): Policy {
  parse(unitsSchema, amount, "amount");
  if (policy.algorithm === "concurrency") {
    const rule = 'must be another than "concurrency" to reserve: a slot has no cost to be settled';
    throw new MisuseError("algorithm", rule, policy.algorithm);
  }
  // An owner could not settle what a lease has paid for.
  return { ...policy, cost: amount, lease: 0, held: true };
}

/** Returns a reservation with a random id. */
export function newReservation(ttlMs: number): Reservation {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return { id: (high % 2 ** 21) * 2 ** 32 + low, ttlMs };
}

function nameOf({ id }: Reservation, replies: readonly Reply[]): string {
  const isCounted = replies.every(({ decisions }) =>
    decisions.every(({ source }) => source === "owner"),
  );
  return `${replies[0]?.question.region}.${id.toString(RADIX)}${isCounted ? "" : UNCOUNTED}`;
}
