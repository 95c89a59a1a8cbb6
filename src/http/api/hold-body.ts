/** Reads the bodies of the calls that reserve, settle and release: one check each. */
import type { Question } from "../../caller/question.ts";
import { parse } from "../../limit/misuse.ts";
import type { Region } from "../../ring/region.ts";
import { readChecks } from "./api-body.ts";
import { releaseSchema, reserveSchema, settleSchema } from "./body-schemas.ts";
import type { ClientKeyOptions } from "./client-keys.ts";

/** @throws {MisuseError} naming the field, the rule and the value */
export function readReserve(
  body: unknown,
  options: ClientKeyOptions,
  region: Region,
): { questions: Question[]; amount: number; ttlMs: number } {
  const { amount, ttl: ttlMs, ...check } = parse(reserveSchema, body);
  return { questions: questionsOf(check, options, region), amount, ttlMs };
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
