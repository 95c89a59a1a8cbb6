/**
 * The API under `/_turnpike/v1`: the verbs over HTTP, for clients with a token.
 *
 * A body is read and checked whole before anything is counted, so a mistake in it changes no
 * counter. A denial is a result, with status 200, and not an error.
 */
import type { Context } from "hono";
import type { HonoBase } from "hono/hono-base";
import { evenOutAll } from "../../caller/at-most.ts";
import type { Caller } from "../../caller/caller.ts";
import { reserve, settle } from "../../caller/holds.ts";
import type { MembershipClient } from "../../caller/membership-client.ts";
import { decided, type Reply, regroup } from "../../caller/question.ts";
import type { Config } from "../../config.ts";
import type { PoliciesDocument } from "../../protocol/policies-document.ts";
import { nearestRegion, type Region } from "../../ring/region.ts";
import { wrongMethod } from "../answer/problem.ts";
import { newApp } from "../app.ts";
import { readBlock, readChecks, readReset, readUnblock } from "./api-body.ts";
import { answerError, notFound } from "./api-error.ts";
import { authorize, requireScope, wrongTokensOf } from "./authorization.ts";
import type { CheckingCall } from "./check-body.ts";
import { countEvents, type EventsOf, readEvents } from "./events-api.ts";
import { explainCall } from "./explain-api.ts";
import { readRelease, readReserve, readSettle } from "./hold-body.ts";
import { jsonBody } from "./json-body.ts";
import openapi from "./openapi.json" with { type: "json" };
import { overridesApi } from "./overrides-api.ts";
import { policiesApi } from "./policies-api.ts";
import { ringApi } from "./ring-api.ts";

/** The calls that a token with the scope `check` may make. */
const CHECKING_CALLS = ["/check", "/peek", "/refund", "/reserve", "/settle", "/release"];

/**
 * Makes the API's app. Without a token in the configuration it has no calls.
 *
 * @param memberships absent if the rings never change
 * @param eventsOf absent if no events are counted
 * @param authorized the isolate's middleware, if other apps of the isolate share it
 * @param follow is told of policies that a call here changes
 */
export function api(
  caller: Caller,
  config: Config,
  memberships?: MembershipClient,
  eventsOf?: EventsOf,
  authorized = authorize(caller, config),
  follow: (document: PoliciesDocument) => void = () => {},
): HonoBase {
  const app = newApp();
  const isOpen = config.tokens.length > 0;
  app.notFound(() => notFound(!isOpen && "TOKEN"));
  app.onError(answerError);
  app.get("/openapi.json", (c) => c.json(openapi));
  app.all("/openapi.json", () => wrongMethod("GET, HEAD"));
  // If the variable is set, `quotaApi` answers instead.
  app.all("/quota", () => notFound("QUOTA_ORIGINS"));
  if (!isOpen) return app;

  app.use(authorized);
  for (const call of CHECKING_CALLS) app.use(call, requireScope("check"));
  app.post("/check", async (c) => {
    const { groups, many } = await possibleChecksOf(c, "check");
    const { even, surplus } = evenOutAll(await caller.checkAllOrNone(groups));
    if (surplus.length > 0) await caller.undo(surplus);
    return decisionsJson(c, even, many);
  });
  app.post("/peek", async (c) => {
    const { groups, many } = await possibleChecksOf(c, "peek");
    return decisionsJson(c, regroup(groups, await caller.peek(groups.flat())), many);
  });
  app.post("/refund", async (c) => {
    const { groups, many } = await checksOf(c, "refund");
    const returned = groups.flat().map((question) => ({ question }));
    return decisionsJson(c, regroup(groups, await caller.refund(returned)), many);
  });

  app.post("/reserve", async (c) => {
    const { questions, amount, ttlMs } = readReserve(await jsonBody(c), config, region(c));
    const { decision, hold } = await reserve(caller, questions, amount, ttlMs);
    return c.json({ ...decision, hold });
  });
  for (const [call, read] of [
    ["/settle", readSettle],
    ["/release", readRelease],
  ] as const) {
    app.post(call, async (c) => {
      const { questions, hold, amount } = read(await jsonBody(c), config, region(c));
      return c.json(await settle(caller, questions, hold, amount));
    });
  }

  for (const call of CHECKING_CALLS) app.all(call, () => wrongMethod("POST"));
  if (eventsOf) countEvents(app, eventsOf, region);

  app.use(requireScope("admin"));
  if (eventsOf) readEvents(app, eventsOf);
  app.post("/reset", async (c) => {
    await caller.reset(readReset(await jsonBody(c), config, region(c)));
    return c.body(null, 204);
  });
  app.post("/explain", explainCall(caller, config, region));
  app.post("/block", async (c) => {
    const { keys, unreached, durationMs } = readBlock(await jsonBody(c), config);
    await Promise.all(keys.map((key) => caller.block(key, durationMs)));
    return unreached.length > 0 ? c.json({ unreached }) : c.body(null, 204);
  });
  app.post("/unblock", async (c) => {
    const keys = readUnblock(await jsonBody(c), config);
    await Promise.all([
      ...keys.map((key) => caller.unblock(key)),
      caller.reset(keys.map((key) => wrongTokensOf(key, region(c)))),
    ]);
    return c.body(null, 204);
  });
  for (const call of ["/reset", "/explain", "/block", "/unblock"]) {
    app.all(call, () => wrongMethod("POST"));
  }
  app.route("/overrides", overridesApi(caller, config));
  if (memberships) {
    app.route("/ring", ringApi(memberships, config.homeRegion));
    app.route("/policies", policiesApi(memberships, config, follow));
  }
  return app;

  async function checksOf(c: Context, call: CheckingCall) {
    return readChecks(await jsonBody(c), config, region(c), call);
  }

  /** @throws {MisuseError} if a check costs more than could ever pass */
  async function possibleChecksOf(c: Context, call: CheckingCall) {
    const checks = await checksOf(c, call);
    const field = (at: number) => (checks.many ? `checks[${at}].cost` : "cost");
    await Promise.all(
      checks.groups.map((group, at) => caller.costly.requirePossible(group, field(at))),
    );
    return checks;
  }

  function region(c: Context): Region {
    return nearestRegion(c.req.raw.cf as IncomingRequestCfProperties, config.homeRegion);
  }
}

function decisionsJson(c: Context, groups: readonly (readonly Reply[])[], many: boolean): Response {
  const decisions = groups.map(decided);
  return c.json(many ? { decisions } : decisions[0]);
}
