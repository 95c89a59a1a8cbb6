/**
 * The actual cost of a response, by its policy's `actual`: a header, a value in its JSON, its
 * bytes, or a function of it. If that is missing or no cost, the estimate stands.
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
  /** The meter that watches the body; undefined if the body cannot be watched. */
  meter: BodyMeter | undefined;
  /** True if the client left before the handler ended. It is then charged, whatever the status. */
  hasLeft: boolean;
}

/** Returns a meter for the body; undefined if none of the policies needs it. */
export function meterFor(policies: readonly Policy[]): BodyMeter | undefined {
  const sources = policies.flatMap(({ actual }) => actual ?? []);
  const paths = sources.flatMap(({ path }) => (path ? [path] : []));
  return paths.length > 0 || sources.some(({ from }) => from === "bytes")
    ? new BodyMeter(paths)
    : undefined;
}

/**
 * Settles the holds of a request, once its actual costs are known.
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

/** Returns the cost that the response tells; undefined if it tells none. */
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
