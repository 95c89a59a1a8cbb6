/** The calls that give single keys another limit under a policy of the configuration. */
import type { Context } from "hono";
import type { HonoBase } from "hono/hono-base";
import type { Caller } from "../../caller/caller.ts";
import type { Question } from "../../caller/question.ts";
import type { Config } from "../../config.ts";
import { parse } from "../../limit/misuse.ts";
import { requireCountable } from "../../limit/override.ts";
import type { Policy } from "../../limit/policy.ts";
import { problem, wrongMethod } from "../answer/problem.ts";
import { newApp } from "../app.ts";
import { readChecks } from "./api-body.ts";
import { overriddenSchema, overrideSchema } from "./body-schemas.ts";
import { jsonBody } from "./json-body.ts";
import { queryOf } from "./query.ts";

/** Makes the app of the calls below `/overrides`. */
export function overridesApi(caller: Caller, config: Config): HonoBase {
  const app = newApp();
  app.put("/", async (c) => {
    const { limit, duration, ...overridden } = parse(overrideSchema, await jsonBody(c));
    const question = questionOf(overridden);
    requireCountable(question.policies[0] as Policy, limit);
    await caller.override(question, limit, duration);
    return c.body(null, 204);
  });
  app.get("/", async (c) => {
    const [explained] = await caller.explain([questionIn(c)]);
    const { policy, override } = explained?.policies[0] ?? {};
    if (override) return c.json({ policy, ...override });
    return problem({ status: 404, title: "No override", detail: "The policy's own limit holds." });
  });
  app.delete("/", async (c) => {
    await caller.override(questionIn(c), null);
    return c.body(null, 204);
  });
  app.all("/", () => wrongMethod("GET, HEAD, PUT, DELETE"));
  return app;

  /** Reads `?key=…&policy=…`. For a key of several parts, `key` is repeated. */
  function questionIn(c: Context): Question {
    const { key = [] } = c.req.queries();
    const given = { ...queryOf(c, "key"), ...(key.length > 1 && { key }) };
    return questionOf(parse(overriddenSchema, given));
  }

  function questionOf(overridden: object): Question {
    const { groups } = readChecks(overridden, config, config.homeRegion, "explain");
    return groups.flat()[0] as Question;
  }
}
