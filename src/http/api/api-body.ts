/** Reads the body of an API call: one check or many, or whose counts an operator changes. */
import type { Question } from "../../caller/question.ts";
import { parse } from "../../limit/misuse.ts";
import type { Region } from "../../ring/region.ts";
import { wrongTokensOf } from "./authorization.ts";
import {
  blockBodySchema,
  type CheckBody,
  checkSchema,
  manySchema,
  unblockBodySchema,
  type WhoBody,
} from "./body-schemas.ts";
import { type CheckingCall, questionsIn, requireWho } from "./check-body.ts";
import {
  type ClientKeyOptions,
  type ClientKeys,
  keyOfText,
  keysOfAddress,
  keysUnder,
  partsUnder,
} from "./client-keys.ts";

export interface PlacedCheck {
  check: CheckBody;
  /** Where it stands in its body: `""`, or `checks[3]`. */
  at: string;
}

/**
 * Returns the questions of each check in a body, one for each scope and key of its policies, and
 * whether the body asked for many.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function readChecks(
  body: unknown,
  options: ClientKeyOptions,
  region: Region,
  call: CheckingCall,
): { groups: Question[][]; many: boolean } {
  const { checks, many } = checksIn(body);
  const reading = { options, region, call };
  return { groups: checks.map(({ check, at }) => questionsIn(check, at, reading)), many };
}

/** Returns the checks in a body, each with where it stands. */
export function checksIn(body: unknown): { checks: PlacedCheck[]; many: boolean } {
  if (typeof body === "object" && body !== null && "checks" in body) {
    const { checks } = parse(manySchema, body);
    return { checks: checks.map((check, at) => ({ check, at: `checks[${at}]` })), many: true };
  }
  return { checks: [{ check: parse(checkSchema, body), at: "" }], many: false };
}

/**
 * Returns what a reset forgets: the keys of its checks, or with `ip` alone all keys of the client.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function readReset(body: unknown, options: ClientKeyOptions, region: Region): Question[] {
  const isClient = typeof body === "object" && body && Object.keys(body).join() === "ip";
  if (isClient) {
    const { ip = "" } = parse(unblockBodySchema, body);
    const { keys } = keysOfAddress(ip, options);
    return [
      ...options.policies.flatMap((policy) =>
        keysUnder(policy, ip, options).map((key) => ({ key, policies: [policy], region })),
      ),
      ...keys.map((key) => wrongTokensOf(key, region)),
    ];
  }
  return readChecks(body, options, region, "reset").groups.flat();
}

/** @throws {MisuseError} naming the field, the rule and the value */
export function readBlock(
  body: unknown,
  options: ClientKeyOptions,
): ClientKeys & { durationMs: number } {
  const { duration, ...who } = parse(blockBodySchema, body);
  return { ...keysOf(who, options), durationMs: duration };
}

/** @throws {MisuseError} naming the field, the rule and the value */
export function readUnblock(body: unknown, options: ClientKeyOptions): string[][] {
  return keysOf(parse(unblockBodySchema, body), options).keys;
}

function keysOf(who: WhoBody, options: ClientKeyOptions): ClientKeys {
  requireWho(who, "");
  const { key, ip } = who;
  if (ip !== undefined) return keysOfAddress(ip, options);
  if (typeof key === "string") return keyOfText(key, options);
  const parts = key ?? [];
  const spellings = options.policies.map((policy) => partsUnder(policy, parts, options));
  const keys = new Map([parts, ...spellings].map((each) => [JSON.stringify(each), each]));
  return { keys: [...keys.values()], unreached: [] };
}
