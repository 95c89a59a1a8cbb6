/**
 * The OpenAPI document of the API: requests from the schemas that read them, answers by hand.
 *
 * Runs at build time only; the Worker has the JSON that comes of it.
 */
import { type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import type { GenericSchema } from "valibot";
import packageJson from "../../package.json" with { type: "json" };
import { eventSchema } from "../../src/events/tuple.ts";
import {
  blockBodySchema,
  checkSchema,
  manySchema,
  overrideSchema,
  policyBodySchema,
  releaseSchema,
  reserveSchema,
  settleSchema,
  unblockBodySchema,
} from "../../src/http/api/body-schemas.ts";
import { manyEventsSchema } from "../../src/http/api/events-api.ts";
import { policiesSchema } from "../../src/http/api/policies-api.ts";
import { purgeSchema } from "../../src/http/api/purge-api.ts";
import { addSchema } from "../../src/http/api/ring-api.ts";
import { policySchema } from "../../src/limit/policy-schema.ts";
import { ANSWERS } from "./answers.ts";

type Schema = Record<string, unknown>;

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const either = (...names: string[]) => ({ oneOf: names.map(ref) });
/** Schemas that others refer to by name. */
const NAMED = new Map<GenericSchema, string>([
  [checkSchema, "Check"],
  [policyBodySchema, "Policy"],
  [eventSchema, "Event"],
]);
const content = (schema: Schema, type = "application/json") => ({ [type]: { schema } });

/** What a whole number, and the other values that a function checks, say of themselves. */
const WHOLE_NUMBER = /^must be a whole number from (\d+) to (\d+)$/;
const TRUE_OR_FALSE = "must be true or false";
const DURATION = /^must be a duration from/;
const MOST = /^must be at most (\d+) (bytes|dimensions)$/;
/** What a schema that looks at its input first is shown, to see all that it can be. */
const SAMPLES = ["", [], {}];

/** Fields of an inline policy, which `parsePolicy` reads. */
const { name, limit, window, algorithm, start, burst, blockFor } = policySchema.entries;
const POLICY_FIELDS = { name, limit, window, algorithm, start, burst, blockFor };

const DESCRIPTIONS: Record<string, string> = {
  key: "Whose counters: a text of 1 to 1,024 bytes, or a list of all parts that the policy's `key` names. Exactly one of `key` and `ip` is given.",
  ip: "In place of `key`: the client with that address, by the keys that the policies give it.",
  cost: "Units to spend. Default the policy's `cost`, which is 1 unless it says otherwise.",
  atMost: "Takes what is left of `cost` instead of denying; `taken` says how much. Default false.",
  requestId:
    "Only for check: sent again within a minute, and otherwise the same, it counts once and answers as the first time, a denial too. For a later try, take another.",
  policy: "Name of a policy of the configuration, in place of an inline one.",
  policies: "Several policies, decided all or none, in place of one.",
  name: "What an inline policy counts by. Default its algorithm and window.",
  limit:
    "Units in a window. With 0, nothing passes. Inline policies of one algorithm and window count together; a `name` parts them.",
  window: "Length of a window, from `1s` to `366d`.",
  algorithm: "How units are counted. Default `fixed-window`.",
  start: "Fixed window: aligned to UTC, or from a key's first request. Default `aligned`.",
  burst: "Units that a bucket holds, or requests that wait. Default by `limit`.",
  blockFor: "How long a denied key stays blocked.",
  checks: "Up to 1,000 checks in 64 KB, each as it would be alone. Answered in order.",
  hold: "The hold, as `reserve` has named it.",
  ttl: "How long the hold lives if nobody settles it, from `1ms` to `1h`. Default `60s`.",
  duration: "How long the key is denied under every policy, from `1ms` to `366d`.",
};
const NEW_OWNER_DESCRIPTIONS = {
  region: "Where the owner is added. May be left out beside `name`.",
  name: "The owner's name, such as `weur/3`. Default: the region's lowest free number.",
};

const EVENT_DESCRIPTIONS = {
  name: "What happened: a letter, then letters, digits, `_`, `.` and `-`.",
  dimensions: "To whom and where: up to 8 dimensions, values of up to 256 characters.",
  amount: "How often. Default 1.",
  events: "Up to 1,000 events in 64 KB.",
};

/** Turns a schema of requests into JSON Schema. */
function requestOf(
  schema: GenericSchema,
  descriptions: Record<string, string> = DESCRIPTIONS,
): Schema {
  const converted = toJsonSchema(schema, {
    target: "draft-2020-12",
    typeMode: "input",
    errorMode: "ignore",
    overrideSchema: ({ valibotSchema, jsonSchema }) => {
      const named = valibotSchema === schema ? undefined : NAMED.get(valibotSchema);
      return named ? ref(named) : override(valibotSchema, jsonSchema);
    },
    overrideAction: ({ valibotAction, jsonSchema }) => {
      const [, most, of] = MOST.exec(String(Reflect.get(valibotAction, "message"))) ?? [];
      const { pattern } = jsonSchema;
      if (pattern) return { ...jsonSchema, pattern: portable(pattern) };
      if (most === undefined) return jsonSchema;
      // A character has at least one byte.
      return { ...jsonSchema, [of === "bytes" ? "maxLength" : "maxProperties"]: Number(most) };
    },
  });
  // Its definitions are of forms that stand here in full; and a default would make clients send it.
  const { $schema, $defs, required, ...rest } = converted as Schema & { required?: string[] };
  return described(required?.length ? { ...rest, required } : rest, descriptions);
}

/** Writes out the classes that mean other characters in other languages. */
function portable(pattern: string): string {
  const inClass = (text: string) => text.replace("\\d", "0-9").replace("\\w", "A-Za-z0-9_");
  return pattern.replace(/\[[^\]]*\]/g, inClass).replaceAll("\\d", "[0-9]");
}

/** @throws {Error} for a schema whose form nobody has told it */
function override(schema: GenericSchema, converted: JsonSchema): JsonSchema | undefined {
  const { type, message, getter, entries } = schema as GenericSchema & {
    message?: unknown;
    getter?: (input: unknown) => GenericSchema;
    entries?: object;
  };
  if (getter) {
    const forms = new Set(SAMPLES.map((sample) => getter(sample)));
    const possible = [...forms].filter(({ type }) => type !== "never");
    const [only, ...others] = possible.map((form) => requestOf(form) as JsonSchema);
    return others.length === 0 ? only : ({ anyOf: [only, ...others] } as JsonSchema);
  }
  if (type === "custom") {
    const [, least, most] = WHOLE_NUMBER.exec(String(message)) ?? [];
    if (least) return { type: "integer", minimum: Number(least), maximum: Number(most) };
    if (message === TRUE_OR_FALSE) return { type: "boolean" };
    throw new Error(`a schema without a form: ${String(message)}`);
  }
  const rule = typeof message === "function" ? String(message({ input: undefined })) : "";
  if (type === "string" && DURATION.test(rule)) {
    return { type: "string", pattern: "^[0-9]{1,15}(ms|s|m|h|d|w)$" };
  }
  if (entries && "window" in entries) {
    const properties = (converted as { properties: Schema }).properties;
    for (const [field, read] of Object.entries(POLICY_FIELDS)) {
      properties[field] = requestOf(read as GenericSchema);
    }
  }
  return undefined;
}

/** Adds to each field what it means. */
function described(schema: Schema, descriptions: Record<string, string>): Schema {
  const { properties } = schema as { properties?: Record<string, Schema> };
  if (!properties) return schema;
  const all = Object.entries(properties).map(([field, value]) => {
    const description = descriptions[field];
    const { default: _, ...form } = value;
    return [field, description ? { ...form, description } : form];
  });
  return { ...schema, properties: Object.fromEntries(all) };
}

const PROBLEMS = {
  400: "A field breaks a rule; `field` and `detail` name both.",
  401: "No token, or one that is not valid.",
  403: "The token has not the scope that this call needs, or a page's origin may not read this.",
  404: "The key has no override under this policy, or the call is not set up.",
  405: "Another method than this call takes.",
  409: "Another change is under way, or this one makes no sense.",
  412: "Another version is in force; `detail` names it.",
  413: "The body has more than 64 KB, or 512 KB of policies.",
  428: "`If-Match` is missing; `detail` names the version in force.",
  429: "Too many wrong tokens from this address, or too many reads of its quota.",
  501: "The Worker has no cache; `detail` says which class or binding is missing.",
  503: "An owner did not answer. `Retry-After` says when to try again.",
} as const;

type Status = keyof typeof PROBLEMS;

const problems = (...statuses: Status[]) =>
  Object.fromEntries(
    statuses.map((status) => [status, { $ref: `#/components/responses/Problem${status}` }]),
  );

const PROBLEM_RESPONSES = Object.fromEntries(
  Object.entries(PROBLEMS).map(([status, description]) => [
    `Problem${status}`,
    { description, content: content(ref("Problem"), "application/problem+json") },
  ]),
);

interface Call {
  summary: string;
  description?: string;
  tag: string;
  body?: Schema;
  parameters?: Schema[];
  answers: Record<number, Schema>;
  problems: Status[];
}

function operation(id: string, { summary, description, tag, body, parameters, ...said }: Call) {
  return {
    operationId: id,
    summary,
    ...(description && { description }),
    tags: [tag],
    ...(parameters && { parameters }),
    ...(body && { requestBody: { required: true, content: content(body) } }),
    responses: { ...said.answers, ...problems(...said.problems, 405) },
  };
}

const ok = (schema: Schema, description: string) => ({
  200: { description, content: content(schema) },
});
const DONE = { 204: { description: "Done, in all regions, and on disk." } };
const OF_A_BODY: Status[] = [400, 401, 403, 413, 429];

function checking(id: string, summary: string, description: string) {
  return operation(id, {
    ...{ summary, description, tag: "checks" },
    body: either("Check", "Checks"),
    answers: ok(either("Decision", "Decisions"), "The decision, allowed or not; for many, a list."),
    problems: OF_A_BODY,
  });
}

const ownerName = {
  name: "name",
  in: "path",
  required: true,
  description: "The owner's name, its slash written as `%2F`.",
  schema: { type: "string", examples: ["weur/3"] },
};
/** Who has an override under which policy, in a query. */
const OVERRIDDEN = [
  { name: "key", schema: { type: "array", items: { type: "string" } }, required: false },
  { name: "ip", schema: { type: "string" }, required: false },
  { name: "policy", schema: { type: "string" }, required: true },
].map((parameter) => ({ ...parameter, in: "query", description: DESCRIPTIONS[parameter.name] }));
const ifMatch = {
  name: "If-Match",
  in: "header",
  required: true,
  description: "The version to be replaced, as its `ETag`; `*` for whichever is in force.",
  schema: { type: "string", examples: ['"7"'] },
};
const POLICIES_DESCRIPTIONS = {
  policies: "All policies, as `POLICIES` has them.",
  by: "Who makes the change, for the history and the log: up to 64 characters.",
};
const begun = { 202: { description: "The change has begun.", content: content(ref("Rings")) } };

const query = (name: string, description: string) => ({
  name,
  in: "query",
  description,
  schema: { type: "string" },
});
const RANGE = [
  query("last", "How far back from now, as `15m`; at most `400d`. Default `1h`."),
  query("from", "In place of `last`: when the range begins, as `2026-11-01T00:00:00Z` or in ms."),
  query("to", "When it ends. Default now."),
  {
    ...query("step", "Length of a bin. Default the finest that is kept for so long."),
    schema: { enum: ["second", "minute", "hour"] },
  },
];

const ANY_OBJECT = { type: "object", additionalProperties: true };

/** A policy's fields are not listed: `parsePolicies` reads them, and names what is wrong. */
function newPolicies(): Schema {
  const { properties, ...rest } = requestOf(policiesSchema, POLICIES_DESCRIPTIONS) as {
    properties: Record<string, Schema>;
  };
  const policies = { ...properties.policies, type: "array", items: ANY_OBJECT, minItems: 1 };
  return { ...rest, properties: { ...properties, policies } };
}

function reading(id: string, summary: string, answer: string, ...fields: Schema[]) {
  const name = { ...query("name", "What was counted."), required: true };
  return operation(id, {
    summary,
    tag: "events",
    parameters: [name, ...fields, ...RANGE],
    answers: ok(ref(answer), "What all owners have, together."),
    problems: [400, 401, 403, 429, 503],
  });
}

export const document = {
  openapi: "3.1.0",
  info: {
    title: "Turnpike",
    version: packageJson.version,
    summary: packageJson.description,
    description:
      "Counts for callers with a token. A denial is an answer, 200, and not an error. Times are durations in milliseconds; only `at` and `atMs` are timestamps.",
    license: { name: "MIT", identifier: "MIT" },
  },
  servers: [{ url: "/_turnpike/v1" }],
  security: [{ token: [] }],
  tags: [
    { name: "checks", description: 'A token with the scope "check" or "admin".' },
    { name: "keys", description: 'A token with the scope "admin".' },
    { name: "ring", description: 'Which owners count. A token with the scope "admin".' },
    {
      name: "policies",
      description: 'Which policies are in force. A token with the scope "admin".',
    },
    {
      name: "events",
      description:
        'What happened to whom, how often. A token as for checks; to read, one with the scope "admin".',
    },
    {
      name: "cache",
      description:
        'Of an app that keeps responses or values and mounts `cacheApi()`; the gateway keeps none. A token with the scope "admin".',
    },
    { name: "quota", description: "No token, and only a client's own." },
    { name: "document", description: "No token." },
  ],
  paths: {
    "/check": {
      post: checking(
        "check",
        "Spend the cost if it may pass",
        "Several policies on one key are decided all or none. Each of many checks is decided by itself.",
      ),
    },
    "/peek": { post: checking("peek", "Answer as check would", "Spends nothing.") },
    "/refund": {
      post: checking(
        "refund",
        "Give the cost back",
        "Never more than is spent, whatever the cost. Answers as peek would then. Ends a slot of `concurrency`.",
      ),
    },
    "/reserve": {
      post: operation("reserve", {
        summary: "Spend an amount until its actual cost is known",
        description:
          "A hold that nobody settles gives its amount back when it ends. A key has at most 1,000 at once.",
        tag: "checks",
        body: ref("Reserve"),
        answers: ok(ref("Reserved"), "The decision, and the hold if it was allowed."),
        problems: OF_A_BODY,
      }),
    },
    "/settle": {
      post: operation("settle", {
        summary: "Replace what a hold has spent by its actual cost",
        description:
          "What was too much comes back, but never into a later window. What was too little is charged, above the limit if it must be. A hold is settled once.",
        tag: "checks",
        body: ref("Settle"),
        answers: ok(ref("Settled"), "What the hold was, and the decision as of now."),
        problems: [...OF_A_BODY, 503],
      }),
    },
    "/release": {
      post: operation("release", {
        summary: "Give back what a hold has spent",
        tag: "checks",
        body: ref("Release"),
        answers: ok(ref("Settled"), "What the hold was, and the decision as of now."),
        problems: [...OF_A_BODY, 503],
      }),
    },
    "/explain": {
      post: operation("explain", {
        summary: "Say whether a key is denied now, why, and what its owner has stored",
        description: "Without a policy, under all policies of the configuration.",
        tag: "keys",
        body: either("Check", "Checks"),
        answers: ok(either("Explanation", "Explanations"), "What is stored; for many, a list."),
        problems: [...OF_A_BODY, 503],
      }),
    },
    "/reset": {
      post: operation("reset", {
        summary: "Forget what a key has spent",
        description: "`ip` without a policy forgets all that the address has spent.",
        tag: "keys",
        body: either("Check", "Checks"),
        answers: DONE,
        problems: [...OF_A_BODY, 503],
      }),
    },
    "/block": {
      post: operation("block", {
        summary: "Deny a key under every policy",
        tag: "keys",
        body: ref("Block"),
        answers: {
          ...ok(ref("Unreached"), "Done, but some policies count the address by other keys."),
          ...DONE,
        },
        problems: [...OF_A_BODY, 503],
      }),
    },
    "/unblock": {
      post: operation("unblock", {
        summary: "End all blocks of a key",
        tag: "keys",
        body: ref("Unblock"),
        answers: DONE,
        problems: [...OF_A_BODY, 503],
      }),
    },
    "/overrides": {
      put: operation("putOverride", {
        summary: "Give a key another limit under a policy",
        description:
          "What is counted stays counted. Under `unlimited` nothing is counted. Replaces the override that the key has.",
        tag: "keys",
        body: ref("Override"),
        answers: DONE,
        problems: [...OF_A_BODY, 503],
      }),
      get: operation("getOverride", {
        summary: "Say which override a key has",
        tag: "keys",
        parameters: OVERRIDDEN,
        answers: ok(ref("OverrideInForce"), "The override."),
        problems: [400, 401, 403, 404, 429, 503],
      }),
      delete: operation("deleteOverride", {
        summary: "Give a key the policy's own limit again",
        tag: "keys",
        parameters: OVERRIDDEN,
        answers: DONE,
        problems: [400, 401, 403, 429, 503],
      }),
    },
    "/ring": {
      get: operation("ring", {
        summary: "Show the owners of each region",
        tag: "ring",
        answers: ok(ref("Rings"), "The rings."),
        problems: [401, 403, 429, 503],
      }),
    },
    "/ring/owners": {
      post: operation("addOwner", {
        summary: "Begin to add an owner",
        tag: "ring",
        body: ref("NewOwner"),
        answers: begun,
        problems: [...OF_A_BODY, 409, 503],
      }),
    },
    "/ring/owners/{name}": {
      delete: operation("removeOwner", {
        summary: "Begin to remove an owner",
        tag: "ring",
        parameters: [ownerName],
        answers: begun,
        problems: [400, 401, 403, 409, 429, 503],
      }),
    },
    "/policies": {
      get: operation("policies", {
        summary: "Show the policies in force",
        description: "`ETag` is their version.",
        tag: "policies",
        answers: ok(ref("Policies"), "The policies, and where they come from."),
        problems: [401, 403, 429, 503],
      }),
      put: operation("putPolicies", {
        summary: "Replace all policies",
        description:
          "They are checked as a deployment's are; a mistake changes nothing. All isolates follow within 5 s of traffic.",
        tag: "policies",
        parameters: [ifMatch],
        body: ref("NewPolicies"),
        answers: ok(ref("Policies"), "The policies, which are in force now."),
        problems: [...OF_A_BODY, 412, 428, 503],
      }),
      delete: operation("deletePolicies", {
        summary: "Go back to the policies of the deployment",
        tag: "policies",
        parameters: [{ ...ifMatch, required: false }, query("by", POLICIES_DESCRIPTIONS.by)],
        answers: ok(ref("Policies"), "The policies of the deployment, which are in force now."),
        problems: [400, 401, 403, 412, 429, 503],
      }),
    },
    "/policies/history": {
      get: operation("policiesHistory", {
        summary: "List the latest changes of the policies",
        tag: "policies",
        answers: ok(ref("PoliciesHistory"), "Up to 50, the latest first."),
        problems: [401, 403, 429, 503],
      }),
    },
    "/events": {
      post: operation("countEvents", {
        summary: "Count an event, or many",
        tag: "events",
        body: either("Event", "Events"),
        answers: { 202: { description: "They reach their owners in about a second." } },
        problems: OF_A_BODY,
      }),
    },
    "/events/top": {
      get: reading(
        "topEvents",
        "List what was counted most",
        "Top",
        query("by", "Names of dimensions, with commas between. Default: whole tuples."),
        query("n", "The most entries, from 1 to 10,000. Default 10."),
      ),
    },
    "/events/series": {
      get: reading("eventSeries", "Count by second, minute or hour", "Series", {
        ...query(
          "filter",
          "A dimension and its value, such as `customer:c-17`. Several may be given.",
        ),
        schema: { type: "array", items: { type: "string" } },
      }),
    },
    "/events/distinct": {
      get: reading("distinctEvents", "Count the distinct values of a dimension", "Distinct", {
        ...query("dimension", "Name of the dimension."),
        required: true,
      }),
    },
    "/cache/purge": {
      post: operation("purge", {
        summary: "Forget what the cache keeps under a key, a URL or a tag",
        description:
          "Exactly one of the three is given. What is being computed meanwhile is not kept, either.",
        tag: "cache",
        body: ref("Purge"),
        answers: {
          204: {
            description:
              "Forgotten by the owners of all regions. Isolates with a copy may serve it for a second more.",
          },
        },
        problems: [...OF_A_BODY, 404, 501, 503],
      }),
    },
    "/quota": {
      get: {
        ...operation("quota", {
          summary: "Tell the client that asks what it has left",
          description:
            "Where `QUOTA_ORIGINS` is set. Spends nothing. A client may ask 120 times a minute. Other fields of the query are ignored.",
          tag: "quota",
          parameters: [
            query("path", "Path of the request that is asked about, with its query. Default `/`."),
            query("method", "Its method. Default `GET`."),
            query("policy", "Only this policy. Default all that such a request meets."),
          ],
          answers: ok(ref("Quotas"), "One for each policy that is in force and not in shadow."),
          problems: [400, 403, 404, 429],
        }),
        security: [],
      },
    },
    "/openapi.json": {
      get: {
        ...operation("document", {
          summary: "Get this document",
          tag: "document",
          answers: ok({ type: "object" }, "This document."),
          problems: [],
        }),
        security: [],
      },
    },
  },
  components: {
    securitySchemes: { token: { type: "http", scheme: "bearer" } },
    responses: PROBLEM_RESPONSES,
    schemas: {
      Policy: requestOf(policyBodySchema),
      Check: requestOf(checkSchema),
      Checks: requestOf(manySchema),
      Reserve: requestOf(reserveSchema, {
        ...DESCRIPTIONS,
        amount: "Units to spend until the actual cost is known.",
      }),
      Settle: requestOf(settleSchema, {
        ...DESCRIPTIONS,
        amount: "Units that it came to; 0 gives all back.",
      }),
      Release: requestOf(releaseSchema),
      Block: requestOf(blockBodySchema),
      Unblock: requestOf(unblockBodySchema),
      Override: requestOf(overrideSchema, {
        ...DESCRIPTIONS,
        policy: "Name of a policy of the configuration.",
        limit: "Units in a window in place of the policy's; `unlimited` counts nothing.",
        duration: "How long the override lasts, from `1ms` to `366d`, which is the default.",
      }),
      NewPolicies: newPolicies(),
      NewOwner: requestOf(addSchema, NEW_OWNER_DESCRIPTIONS),
      Event: requestOf(eventSchema, EVENT_DESCRIPTIONS),
      Events: requestOf(manyEventsSchema, EVENT_DESCRIPTIONS),
      Purge: requestOf(purgeSchema, {
        key: "As `getOrCompute` or the `key` of `cached()` has it.",
        url: "As the Worker sees it, with its query.",
        tag: "All that has this tag.",
      }),
      ...ANSWERS,
    },
  },
};
