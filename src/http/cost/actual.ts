/**
 * What a response came to, by its policy's `actual`: a header, a value in its JSON, its bytes, or a
 * function of it. What says nothing, or nonsense, leaves the estimate as it is.
 */
import type { Context } from "hono";
import type { Caller } from "../../caller/caller.ts";
import type { Reply, Returned } from "../../caller/question.ts";
import { isCharged } from "../../limit/charge.ts";
import type { Policy } from "../../limit/policy.ts";
import { logSeldom } from "../../log.ts";
import { logFailure, type Rule, readCharge } from "../rule-functions.ts";
import { isUnits } from "./json-values.ts";
import { BodyMeter } from "./meter.ts";

/** How a request ended. */
export interface Outcome {
  /** Undefined if the handler threw, or the client left before it ended. */
  response: Response | undefined;
  status: number;
  /** Looked at the body; undefined if it could not be looked at. */
  meter: BodyMeter | undefined;
  /** Did the client leave before the handler ended? Then it is charged, whatever the status. */
  hasLeft: boolean;
}

/** Returns what looks at the body, if one of the policies needs that. */
export function meterFor(policies: readonly Policy[]): BodyMeter | undefined {
  const sources = policies.flatMap(({ actual }) => actual ?? []);
  const paths = sources.flatMap(({ path }) => (path ? [path] : []));
  return paths.length > 0 || sources.some(({ from }) => from === "bytes")
    ? new BodyMeter(paths)
    : undefined;
}

/**
 * Settles the holds of a request, once what it came to is known.
 *
 * @param replies those of policies that are `held`
 * @param rules the rules that count the request
 */
export async function settleHolds(
  c: Context,
  caller: Caller,
  replies: readonly Reply[],
  rules: readonly Rule[],
  outcome: Outcome,
): Promise<void> {
  await outcome.meter?.end();
  const settlements = replies.flatMap(({ question }) =>
    question.policies.map(async (policy): Promise<Returned> => {
      const rule = rules.find((each) => each.policy.name === policy.name);
      const actual = await actualOf(c, policy, rule, outcome);
      const settle = { id: question.reserve?.id ?? 0, actual, isMade: true };
      return { question: { ...question, policies: [policy] }, settle };
    }),
  );
  try {
    await caller.settle(await Promise.all(settlements));
  } catch (error) {
    logSeldom("warn", "hold-unsettled", "", { detail: String(error) });
  }
}

async function actualOf(
  c: Context,
  policy: Policy,
  rule: Rule | undefined,
  outcome: Outcome,
): Promise<number> {
  const { response, status, hasLeft } = outcome;
  const charged = rule?.charge && response ? readCharge(c, rule) : isCharged(policy, status);
  if (!hasLeft && !(await charged)) return 0;
  const value = rule?.actual ? await run(c, policy, rule.actual, response) : told(policy, outcome);
  if (isUnits(value)) return value;
  if (response && !hasLeft) {
    const detail = "the response names no cost, so the estimate stands";
    logSeldom("warn", "actual-missing", policy.name, { policy: policy.name, detail });
  }
  return policy.cost;
}

/** Returns what the response says; undefined if it says nothing that can be a cost. */
function told({ actual }: Policy, { response, meter }: Outcome): number | undefined {
  if (!actual || !response) return undefined;
  const { from, path, name = "" } = actual;
  if (path) return meter?.valueAt(path);
  if (from === "bytes") return meter?.bytes;
  const text = response.headers.get(name)?.trim() ?? "";
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

async function run(
  c: Context,
  { name }: Policy,
  actual: NonNullable<Rule["actual"]>,
  response: Response | undefined,
): Promise<unknown> {
  if (!response) return undefined;
  try {
    return await actual(c);
  } catch (error) {
    logFailure("actual", name, error);
    return undefined;
  }
}
