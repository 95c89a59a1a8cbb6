/** Reads the bodies of the calls that reserve, settle and release: one check each. */
import * as v from "valibot";
import { actualSchema, heldPolicy, holdSchema, ttlSchema } from "../../caller/holds.ts";
import type { Question } from "../../caller/question.ts";
import { parse } from "../../limit/misuse.ts";
import { unitsSchema } from "../../limit/policy.ts";
import type { Region } from "../../ring/region.ts";
import { checkSchema, readChecks } from "./api-body.ts";
import type { ClientKeyOptions } from "./client-keys.ts";

const { cost: _, atMost: __, requestId: ___, ...asked } = checkSchema.entries;
const objectRule = "must be an object";

export const reserveSchema = v.strictObject(
  { ...asked, amount: unitsSchema, ttl: ttlSchema },
  objectRule,
);
export const settleSchema = v.strictObject(
  { ...asked, hold: holdSchema, amount: actualSchema },
  objectRule,
);
export const releaseSchema = v.strictObject({ ...asked, hold: holdSchema }, objectRule);

/** @throws {MisuseError} naming the field, the rule and the value */
export function readReserve(
  body: unknown,
  options: ClientKeyOptions,
  region: Region,
): { questions: Question[]; ttlMs: number } {
  const { amount, ttl: ttlMs, ...check } = parse(reserveSchema, body);
  const questions = questionsOf(check, options, region).map(({ policies, ...question }) => ({
    ...question,
    policies: policies.map((policy) => heldPolicy(policy, amount)),
  }));
  return { questions, ttlMs };
}

/** @throws {MisuseError} naming the field, the rule and the value */
export function readSettle(
  body: unknown,
  options: ClientKeyOptions,
  region: Region,
): { questions: Question[]; hold: string; amount: number } {
  const { hold, amount, ...check } = parse(settleSchema, body);
  return { questions: questionsOf(check, options, region), hold, amount };
}

/** Reads a release as a settlement of 0. @throws {MisuseError} as `readSettle` */
export function readRelease(body: unknown, options: ClientKeyOptions, region: Region) {
  const { hold, ...check } = parse(releaseSchema, body);
  return { questions: questionsOf(check, options, region), hold, amount: 0 };
}

function questionsOf(check: object, options: ClientKeyOptions, region: Region): Question[] {
  return readChecks(check, options, region, "check").groups.flat();
}
