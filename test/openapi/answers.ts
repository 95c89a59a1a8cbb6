/** JSON Schemas of what the API answers. Types compare them with the code. */
import type { SettledDecision } from "../../src/caller/holds.ts";
import type { Distinct, Point, Top } from "../../src/events.ts";
import type { ExplainedClient } from "../../src/http/api/explain-api.ts";
import type { PoliciesInForce } from "../../src/http/api/policies-api.ts";
import type { Quota } from "../../src/http/api/quota-api.ts";
import type { Decision } from "../../src/limit/decision.ts";
import type { RingStatus } from "../../src/protocol/rpc.ts";
import type { components } from "./api.d.ts";

type Schemas = components["schemas"];
type Fits<Documented, Code extends Documented> = [Documented, Code];
type ExplainedPolicy = Omit<Schemas["Explanation"]["policies"][number], "stored" | "key">;

/** Compiles only if what the code answers is what the document says. */
export type SameTypes = [
  Fits<Schemas["Decision"], Decision>,
  Fits<Schemas["Settled"], SettledDecision>,
  Fits<Omit<Schemas["Explanation"], "policies">, Omit<ExplainedClient, "policies">>,
  Fits<ExplainedPolicy, ExplainedClient["policies"][number]>,
  Fits<Schemas["Ring"], RingStatus>,
  Fits<Omit<Schemas["Policies"], "policies">, Omit<PoliciesInForce, "policies">>,
  Fits<Schemas["Top"], Top>,
  Fits<Schemas["Series"], { points: Point[] }>,
  Fits<Schemas["Distinct"], Distinct>,
  Fits<Schemas["Quotas"], { quotas: Quota[] }>,
];

const number = (description: string) => ({ type: "number", minimum: 0, description });
const whole = (description: string) => ({ type: "integer", minimum: 0, description });
const long = (description: string) => ({ ...whole(description), format: "int64" });
const text = (description: string) => ({ type: "string", description });
const flag = (description: string) => ({ type: "boolean", description });
const list = (items: object, description: string) => ({ type: "array", items, description });

/** An object with these fields, all of them always there but those named. */
function object(properties: Record<string, object>, ...optional: string[]) {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, required };
}

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

const DECISION = {
  allowed: flag("May it pass?"),
  policy: text("The policy that decided: the one that denied, else the one with the least left."),
  limit: whole("Units in a whole quota."),
  remaining: number("Units that could be spent right now."),
  resetMs: number("Until the quota is whole again."),
  retryAfterMs: number(
    "Until the same cost could pass; 0 if allowed. Under a limit of 0, or of an override below the cost, when to look if it has changed.",
  ),
  delayMs: number("Leaky bucket: how long to hold the request."),
  reason: {
    enum: ["ok", "limited", "blocked", "listed", "shadow", "failed"],
    description: "Why it came out so.",
  },
  source: {
    enum: ["owner", "lease", "denial-cache", "fallback", "local", "list"],
    description: "Who decided.",
  },
  exact: flag("False if the answer may be off."),
  taken: whole("Units taken of the cost, where the check has `atMost`."),
};
const WAS = {
  enum: ["live", "ended", "settled"],
  description:
    "What the hold was. Ended: all of the actual cost was charged. Settled: nothing has changed.",
};

const COUNT = {
  count: whole("Units counted, at most."),
  error: whole("The truth is from `count` less this to `count`."),
};

const OVERRIDE = {
  limit: {
    oneOf: [whole("Units in a window."), { const: "unlimited" }],
    description: "The limit in place of the policy's.",
  },
  leftMs: long("Until it ends."),
};

const POLICIES = {
  policies: list(
    { type: "object", additionalProperties: true },
    "All policies, as they are written.",
  ),
  source: {
    enum: ["deployment", "live"],
    description: "Whether the deployment's are in force, or live ones.",
  },
  version: whole("Counts the changes; 0 if there was none."),
  by: { type: ["string", "null"], description: "Who made the change, as the call said." },
  at: { type: ["string", "null"], format: "date-time", description: "When." },
};

export const ANSWERS = {
  Decision: object(DECISION, "taken"),
  Reserved: object(
    { ...DECISION, hold: text("What the hold is called; absent if it was denied.") },
    "taken",
    "hold",
  ),
  Settled: object({ ...DECISION, was: WAS }, "taken"),
  Decisions: object({ decisions: list(ref("Decision"), "In the order of the checks.") }),
  Explanation: object({
    summary: text("Whether something denies it now, in one line."),
    allowed: flag("May it pass now, under all policies that were asked about?"),
    exact: flag("False if the counts may be off."),
    reason: {
      ...DECISION.reason,
      description: "Why it comes out so; `listed` if a list refuses it.",
    },
    blockedMs: number("Until an operator's block ends; 0 if there is none."),
    policies: list(
      object(
        {
          owner: text("The owner that counts the key."),
          ringVersion: whole("The version of the ring that it counts by."),
          key: list({ type: "string" }, "The key that it counts, part by part."),
          policy: text("The policy's name."),
          algorithm: text("How it counts."),
          limit: whole("Units in a window."),
          windowMs: long("Length of a window."),
          capacity: whole(
            "The most that `remaining` can be: of a bucket what it holds, else the limit.",
          ),
          remaining: number("Units that could be spent right now."),
          state: text("What is stored, in words for a person."),
          stored: {
            type: ["array", "null"],
            items: { type: "number" },
            description: "The stored state itself.",
          },
          nextUnitMs: number("Until one unit more can be spent than now; 0 if all can."),
          holds: {
            ...object({
              count: whole("Holds that are neither settled nor ended."),
              units: whole("Units that they have of those that are spent."),
            }),
            description: "What the key has reserved; absent if nothing.",
          },
          override: {
            ...object(OVERRIDE),
            description: "The override that `limit` comes from; absent without one.",
          },
        },
        "holds",
        "override",
      ),
      "One for each policy that counts it.",
    ),
    others: list(
      object({ policy: text("The policy's name."), state: text("Why, in words.") }),
      "Policies that count nothing of it.",
    ),
  }),
  OverrideInForce: object({ policy: text("The policy's name."), ...OVERRIDE }),
  Explanations: object({ explanations: list(ref("Explanation"), "In the order of the checks.") }),
  Unreached: object({
    unreached: list({ type: "string" }, "Policies under which the address may still pass."),
  }),
  Rings: object({ regions: list(ref("Ring"), "One for each region that has counted.") }),
  Ring: object({
    region: text("The region."),
    version: whole("Counts the changes."),
    settling: flag("Whether a change is under way."),
    waitingFor: list({ type: "string" }, "Owners that the change waits for."),
    down: list({ type: "string" }, "Owners out of the ring because they do not answer."),
    owners: list(
      object({
        name: text("Region and number."),
        keys: { type: ["integer", "null"], description: "Rows; null where it does not answer." },
        checksPerSecond: {
          type: ["number", "null"],
          description: "Null where it does not answer.",
        },
        sinceMs: number("Since it joined."),
      }),
      "The owners in the ring.",
    ),
  }),
  Policies: object(POLICIES),
  PoliciesHistory: object({
    versions: list(ref("Policies"), "Up to 50 changes, the latest first."),
    deployed: {
      ...POLICIES.policies,
      description: "Those of `POLICIES`, which `DELETE policies` puts in force.",
    },
  }),
  Top: object(
    {
      total: whole("All units in the range, exact."),
      other: whole("Units whose tuple nobody knows any more."),
      otherNames: whole("Units of names past the 64th, maybe of this one."),
      entries: list(
        object({
          dimensions: {
            type: "object",
            additionalProperties: { type: "string" },
            description: "The tuple, or what `by` names of it.",
          },
          ...COUNT,
        }),
        "The heaviest first.",
      ),
      missing: list(
        { type: "string" },
        "Dimensions of `by` that nothing in the range has; absent if there are none.",
      ),
    },
    "missing",
    "otherNames",
  ),
  Series: object({
    points: list(
      object({ atMs: long("When the bin begins, ms since the epoch."), ...COUNT }),
      "One for each bin of the range.",
    ),
  }),
  Distinct: object({
    count: whole("How many distinct values, more or less."),
    error: whole("The standard error of `count`, and units whose value nobody knows."),
    exact: flag("Whether the count has no error."),
  }),
  Quotas: object({
    quotas: list(
      object({
        policy: text("The policy's name."),
        limit: whole("Units in a whole quota."),
        windowMs: long("Length of a window."),
        remaining: number("Units that could be spent right now."),
        resetMs: number("Until the quota is whole again."),
        exact: flag("False if the answer may be off."),
      }),
      "One for each policy.",
    ),
  }),
  Problem: object(
    {
      title: text("What kind of problem."),
      status: { type: "integer", minimum: 400, maximum: 599 },
      detail: text("What is wrong with this request."),
      field: text("Path of the field that breaks a rule."),
    },
    "field",
  ),
};
