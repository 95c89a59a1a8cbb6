/**
 * Reads one check of a body: who is asked about, and under which named or inline policies.
 *
 * An inline policy without a name is named by its algorithm and window, so that calls with
 * different limits count together.
 */
import { upTo } from "../../caller/at-most.ts";
import { counterPolicy } from "../../caller/message.ts";
import type { Question } from "../../caller/question.ts";
import { formatDuration } from "../../limit/duration.ts";
import { hasAddress } from "../../limit/key-part.ts";
import { fieldPath, MisuseError } from "../../limit/misuse.ts";
import { type Policy, parsePolicy } from "../../limit/policy.ts";
import { policyFor } from "../../limit/policy-overrides.ts";
import { first53Bits, PUBLIC_SIP_KEY, sipHash } from "../../ring/key-hash.ts";
import type { Region } from "../../ring/region.ts";
import type { CheckBody, PolicyBody, WhoBody } from "./body-schemas.ts";
import {
  type ClientKeyOptions,
  keysUnder,
  partsUnder,
  requireKnownKey,
  requireOneClient,
} from "./client-keys.ts";

/** The calls that take checks. */
export type CheckingCall = "check" | "peek" | "refund" | "reset" | "explain";

/** How a check in a body is read. */
export interface Reading {
  options: ClientKeyOptions;
  region: Region;
  /** What for. `reset` and `explain` refuse an address as `key` if no client has that key. */
  call: CheckingCall;
}

/**
 * Returns the questions of a check, one for each scope and key of its policies.
 *
 * @param at where the check stands in its body: `""`, or `checks[3]`
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function questionsIn(
  check: CheckBody,
  at: string,
  { options, region, call }: Reading,
): Question[] {
  const { key, ip, cost, atMost, requestId, policies: several, ...one } = check;
  requireWho(check, at);
  if (requestId !== undefined && call !== "check") {
    const rule = "must be left out, since only a check counts";
    throw new MisuseError(fieldPath(at, "requestId"), rule, requestId);
  }
  const asked = several ? policiesOf(several, one, at, options) : [policyOf(one, at, options)];
  const isClients = asked.every((each) => options.policies.includes(each) && hasAddress(each.key));
  const isOperator = call === "reset" || call === "explain";
  if (isOperator && isClients && typeof key === "string") {
    requireKnownKey(key, asked, options, fieldPath(at, "key"));
  }
  if (atMost && cost === undefined) {
    throw new MisuseError(fieldPath(at, "cost"), 'is required where "atMost" is true', cost);
  }
  const keyOf = (policy: Policy) =>
    ip ? clientKeyOf(policy, ip, at, options) : partsUnder(policy, [key ?? []].flat(), options);
  const charged = asked.map((general) => {
    const each = policyFor(general, keyOf(general));
    return atMost && cost ? upTo(each, cost) : { ...each, cost: cost ?? each.cost };
  });
  const alike = Map.groupBy(charged, (each) => JSON.stringify([each.scope, keyOf(each)]));
  if (requestId !== undefined && alike.size > 1) {
    // If one key denies, each repeat would give back once more what the others took.
    const rule = "must be left out where policies have several keys or scopes";
    throw new MisuseError(fieldPath(at, "requestId"), rule, requestId);
  }
  return Array.from(alike.values(), (group) => {
    const question = { key: keyOf(group[0] as Policy), policies: group, region };
    if (requestId === undefined) return question;
    // In whatever order they are written, it is one check.
    group.sort((one, other) => (one.name < other.name ? -1 : 1));
    return { ...question, requestId: hashOf(requestId, group) };
  });
}

/** @throws {MisuseError} unless the body names either a key or an address */
export function requireWho({ key, ip }: WhoBody, at: string): void {
  if (key === undefined && ip === undefined) {
    throw new MisuseError(fieldPath(at, "key"), "is required", undefined);
  }
  if (key !== undefined && ip !== undefined) {
    throw new MisuseError(fieldPath(at, "ip"), 'must be left out where "key" is given', ip);
  }
}

/** @param beside the fields of a single policy, which must be absent */
function policiesOf(
  several: readonly PolicyBody[],
  beside: PolicyBody,
  at: string,
  options: ClientKeyOptions,
): Policy[] {
  const path = fieldPath(at, "policies");
  if (Object.values(beside).some((field) => field !== undefined)) {
    throw new MisuseError(path, "must be left out, or hold what stands beside it", several);
  }
  const policies = several.map((each, index) => policyOf(each, `${path}[${index}]`, options));
  for (const [index, { name }] of policies.entries()) {
    if (policies.findIndex((policy) => policy.name === name) < index) {
      throw new MisuseError(`${path}[${index}]`, "must differ from those before it", name);
    }
  }
  return policies;
}

function policyOf(
  { policy: name, ...inline }: PolicyBody,
  at: string,
  options: ClientKeyOptions,
): Policy {
  if (name === undefined) return inlinePolicy(inline, at);
  const [extra] = Object.entries(inline).find(([, value]) => value !== undefined) ?? [];
  if (extra !== undefined) {
    const rule = 'must be left out where "policy" names one';
    throw new MisuseError(fieldPath(at, extra), rule, inline[extra as keyof typeof inline]);
  }
  const found = options.policies.find((known) => known.name === name);
  if (found) return found;
  const names = options.policies.map((known) => `"${known.name}"`).join(", ");
  throw new MisuseError(fieldPath(at, "policy"), `must be one of ${names}`, name);
}

function inlinePolicy(fields: Omit<PolicyBody, "policy">, at: string): Policy {
  if (fields.limit === undefined && fields.window === undefined) {
    const rule = 'must name a policy, or "limit" and "window" must be given';
    throw new MisuseError(fieldPath(at, "policy"), rule, undefined);
  }
  const policy = parsePolicy({ ...fields, scope: "global" }, at);
  if (fields.name !== undefined) return policy;
  return { ...policy, name: `${policy.algorithm}:${formatDuration(policy.windowMs)}` };
}

function clientKeyOf(policy: Policy, ip: string, at: string, options: ClientKeyOptions): string[] {
  requireOneClient(ip, fieldPath(at, "ip"));
  const [only, ...others] = keysUnder(policy, ip, options);
  if (only && others.length === 0) return only;
  const rule = `must be left out under "${policy.name}": its key [${policy.key}] is not an address alone; write "key" with all its parts`;
  throw new MisuseError(fieldPath(at, "ip"), rule, ip);
}

/** At another cost, or under other policies or limits, the same `requestId` is another check. */
function hashOf(requestId: string, policies: readonly Policy[]): number {
  const asked = JSON.stringify([requestId, policies.map(counterPolicy)]);
  return first53Bits(sipHash(PUBLIC_SIP_KEY, asked));
}
