/**
 * `POST explain`: whether a client is denied now, why, and what its owners have stored.
 *
 * Without a policy, it asks about all configured ones. What the caller's own region counts is told:
 * a client that enters through two regions has two quotas.
 */
import type { Context } from "hono";
import type { Caller } from "../../caller/caller.ts";
import {
  decided,
  type ExplainedKey,
  type Question,
  type Reply,
  regroup,
} from "../../caller/question.ts";
import type { Config } from "../../config.ts";
import { isListed } from "../../limit/address-list.ts";
import type { Decision } from "../../limit/decision.ts";
import { spoken } from "../../limit/duration.ts";
import { MisuseError } from "../../limit/misuse.ts";
import type { Policy } from "../../limit/policy.ts";
import { regionOfOwner } from "../../protocol/ring-record.ts";
import type { Region } from "../../ring/region.ts";
import { checksIn, type PlacedCheck } from "./api-body.ts";
import { questionsIn, type Reading } from "./check-body.ts";
import { jsonBody } from "./json-body.ts";

/** A policy that counts nothing of the client. */
interface Uncounted {
  policy: string;
  /** Why, in words. */
  state: string;
}

export interface ExplainedClient {
  /** Whether something denies it now, in one line. */
  summary: string;
  /** True if the client may pass now, under all policies that were asked about. */
  allowed: boolean;
  /** Why it comes out so; `listed` if a list refuses it. */
  reason: Decision["reason"];
  /** False if the counts may be off. */
  exact: boolean;
  /** Until an operator's block ends; 0 without one. */
  blockedMs: number;
  policies: (ExplainedKey["policies"][number] &
    Pick<ExplainedKey, "owner" | "ringVersion"> & { key: readonly string[] })[];
  others: Uncounted[];
}

/** One client that is asked about. */
interface Asked {
  questions: Question[];
  others: Uncounted[];
  /** What refuses its address: `DENY`, or a policy's `deny`. */
  refusing?: string;
}

type ExplainOptions = Pick<Config, "policies" | "ipv6Prefix" | "allow" | "deny">;

/** @param regionOf returns where a call comes from */
export function explainCall(caller: Caller, config: Config, regionOf: (c: Context) => Region) {
  return async (c: Context) => {
    const { checks, many } = checksIn(await jsonBody(c));
    const asked = checks.map((check) => askedIn(check, config, regionOf(c)));
    const groups = asked.map(({ questions }) => questions);
    const [explained, replies] = await Promise.all([
      caller.explain(groups.flat()),
      caller.peek(groups.flat()),
    ]);
    const told = regroup(groups, explained);
    const answers = regroup(groups, replies).map((each, at) =>
      explanationOf(asked[at] as Asked, told[at] ?? [], each),
    );
    return c.json(many ? { explanations: answers } : answers[0]);
  };
}

/** @throws {MisuseError} naming the field, the rule and the value */
function askedIn({ check, at }: PlacedCheck, options: ExplainOptions, region: Region): Asked {
  const asked: Asked = { questions: [], others: [] };
  const reading: Reading = { options, region, call: "explain" };
  const { key, ip, cost, atMost, requestId, ...policies } = check;
  const isCounted = (policy: Policy) => {
    const list = ip === undefined ? undefined : listOf(ip, policy, options);
    if (!list) return true;
    const { name, isRefusing } = list;
    if (isRefusing) asked.refusing ??= name === "deny" ? `deny of ${policy.name}` : name;
    const state = isRefusing ? "refuses it with 403" : "lets it pass, and nothing is counted";
    asked.others.push({ policy: policy.name, state: `${name} ${state}` });
    return false;
  };
  if (Object.values(policies).some((field) => field !== undefined)) {
    for (const question of questionsIn(check, at, reading)) {
      const counted = question.policies.filter(isCounted);
      if (counted.length > 0) asked.questions.push({ ...question, policies: counted });
    }
    return asked;
  }
  const counting = options.policies.filter(isCounted);
  let refusal: unknown;
  for (const policy of counting) {
    try {
      asked.questions.push(...questionsIn({ ...check, policy: policy.name }, at, reading));
    } catch (error) {
      if (!(error instanceof MisuseError)) throw error;
      refusal ??= error;
      const who = ip === undefined ? "this key" : "an address";
      const state = `counts by ${policy.key.join(", ")}, so ${who} alone says nothing`;
      asked.others.push({ policy: policy.name, state });
    }
  }
  if (refusal && asked.questions.length === 0 && counting.length === options.policies.length) {
    throw refusal;
  }
  return asked;
}

/** Returns the list by which a request of the address is refused or let pass, as requests are. */
function listOf(ip: string, policy: Policy, { allow, deny }: ExplainOptions) {
  if (isListed(ip, allow)) return { name: "ALLOW", isRefusing: false };
  if (isListed(ip, deny)) return { name: "DENY", isRefusing: true };
  if (isListed(ip, policy.allow)) return { name: "allow", isRefusing: false };
  const isDenied = !policy.shadow && isListed(ip, policy.deny);
  return isDenied ? { name: "deny", isRefusing: true } : undefined;
}

/** @param explained of a key with two owners, which it has if its policies have two scopes, both */
function explanationOf(
  { questions, others, refusing }: Asked,
  explained: readonly ExplainedKey[],
  replies: readonly Reply[],
): ExplainedClient {
  const blockedMs = Math.max(0, ...explained.map((each) => each.blockedMs));
  const exact = replies.every(({ decisions }) => decisions.every((each) => each.exact));
  const decision = replies.length === 0 ? undefined : decided(replies);
  const summary = refusing
    ? `refused with 403 by ${refusing}`
    : summaryOf(explained, decision, blockedMs);
  return {
    summary: summary + (exact ? "" : " (counts may be off)"),
    allowed: !refusing && decision?.allowed !== false,
    reason: refusing ? "listed" : (decision?.reason ?? "ok"),
    exact,
    blockedMs,
    policies: explained.flatMap(({ owner, ringVersion, policies }, at) =>
      policies.map((policy) => ({ owner, ringVersion, key: questions[at]?.key ?? [], ...policy })),
    ),
    others,
  };
}

function summaryOf(
  explained: readonly ExplainedKey[],
  decision: Decision | undefined,
  blockedMs: number,
): string {
  if (!decision) return "nothing denies it now";
  const { allowed, policy, reason, retryAfterMs } = decision;
  if (blockedMs > 0) return `blocked by an operator for ${spoken(blockedMs)} more`;
  const leftMs = spoken(retryAfterMs);
  if (reason === "blocked") return `blocked by ${policy} for ${leftMs} more`;
  if (!allowed) return `denied now by ${policy}, for ${leftMs}`;
  const regions = [...new Set(explained.map(({ owner }) => regionOfOwner(owner)))].join(", ");
  const isSeen = explained.some((each) =>
    each.policies.some(({ stored, override }) => stored ?? override),
  );
  return `nothing denies it now in ${regions}${isSeen ? "" : ": not seen there lately"}`;
}
