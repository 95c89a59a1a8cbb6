/**
 * The Worker that is deployed: every request is limited, then forwarded to the origin.
 *
 * Only wires the rooms together. The configuration is read as the module starts. So a mistake in it
 * shows at once, and not with the first request.
 */
import "./workers.ts";
import { env } from "cloudflare:workers";
import { listPolicies } from "./binding/policies.ts";
import { TurnpikeWithEvents } from "./binding/turnpike-with-events.ts";
import { Fallback } from "./caller/fallback.ts";
import { isolateCaller, isolateMembershipClient } from "./caller/isolate.ts";
import { PoliciesFollower } from "./caller/policies-follower.ts";
import { type Config, parseConfig } from "./config.ts";
import { checkOnce } from "./counters/answers.ts";
import { demoAnswer, demoPage } from "./dashboard/demo.ts";
import { livePage } from "./dashboard/live.ts";
import { events, ownEvents } from "./events.ts";
import { allowEveryPage } from "./http/answer/cors.ts";
import { refusePathOf } from "./http/answer/refusal.ts";
import { api } from "./http/api/api.ts";
import { notFound } from "./http/api/api-error.ts";
import { authorize } from "./http/api/authorization.ts";
import type { EventsOf } from "./http/api/events-api.ts";
import { metricsApi } from "./http/api/metrics-api.ts";
import { quotaApi } from "./http/api/quota-api.ts";
import { anyStatusToHead, internalError, newApp, passAsterisk, passHead } from "./http/app.ts";
import { decode } from "./http/cost/decoding.ts";
import { gateway, routeTo, routeToService } from "./http/gateway/gateway.ts";
import { removedByConnection } from "./http/gateway/origin-headers.ts";
import { headersBesideOrigin } from "./http/gateway/origin-limits.ts";
import { isOrdinary, isReserved, readingsOf } from "./http/match/path.ts";
import { enforce } from "./http/rate-limit.ts";
import { RulesInForce } from "./http/rules-in-force.ts";
import { OperatedRateLimiter } from "./objects/operated-rate-limiter.ts";
import { RateLimiter } from "./objects/rate-limiter.ts";
import { keyHasher } from "./ring/key-hash.ts";
import { nearestRegion } from "./ring/region.ts";
import { steady, WORKERS } from "./runtime.ts";
import { analyticsPoints } from "./watch/analytics.ts";
import { metricsText, READ } from "./watch/metrics.ts";
import { watch } from "./watch/watch.ts";

export { Events } from "./objects/events.ts";
export { OperatedMembership as Membership } from "./objects/operated-membership.ts";
export { OperatedRateLimiter as RateLimiter };

RateLimiter.checkOnce = checkOnce;
Fallback.checkOnce = checkOnce;

export { TurnpikeWithEvents as Turnpike };

const deployed = parseConfig(env);
const follower = new PoliciesFollower({
  deployed: deployed.policies,
  ask: async (...asked) => memberships?.policies(...asked) ?? null,
  runtime: steady(WORKERS),
  homeRegion: deployed.homeRegion,
  // Without a token there is no API, so a new isolate has nothing to ask.
  deadlineMs: deployed.tokens.length > 0 ? deployed.deadlineMs : 0,
});
const config: Config = {
  ...deployed,
  get policies() {
    return follower.policies;
  },
};
const watching = watchItself(config);
const caller = isolateCaller(watching, (owners) => follower.through(owners));
const memberships = isolateMembershipClient();
RateLimiter.onEvicted = watching?.evicted;
OperatedRateLimiter.onWritten = watching?.written;
listPolicies(() => follower.policies);
TurnpikeWithEvents.begin = () => follower.begin(() => config.homeRegion);
const { ORIGIN_SERVICE: service } = env as { ORIGIN_SERVICE?: Fetcher };

const app = newApp();
app.onError(internalError);
app.notFound(passAsterisk(app));
app.use((c, next) => {
  const begun = follower.begin(() =>
    nearestRegion(c.req.raw.cf as IncomingRequestCfProperties, config.homeRegion),
  );
  return begun ? begun.then(next) : next();
});
const eventsOf: EventsOf = (region) => events(env, region && { region });
const authorized = authorize(caller, config);
if (config.quotaOrigins.length > 0) {
  app.route(
    "/_turnpike/v1/quota",
    quotaApi(caller, config, () => inForce.rules),
  );
}
app.route(
  "/_turnpike/v1",
  api(caller, config, memberships, eventsOf, authorized, (document) => follower.follow(document)),
);
if (watching) {
  const { reader } = ownEvents(env);
  const ringsOf = async () => (await memberships?.status(config.homeRegion)) ?? [];
  const sums = () => Promise.all(READ.map((name) => reader.sums(name)));
  const metrics = async () => metricsText(await sums(), await ringsOf());
  app.route("/_turnpike/metrics", metricsApi(authorized, metrics));
  app.route("/_turnpike", livePage(authorized, config, reader, ringsOf));
}
app.use((c, next) => {
  if (isOrdinary(c.req.url)) return passHead(c, next);
  if (isReserved(c.req.url))
    return Promise.resolve(notFound(config.tokens.length === 0 && "TOKEN"));
  if (readingsOf(c.req.url)) return passHead(c, next);
  return Promise.resolve(refusePathOf(c));
});
const gate = {
  allowReading: allowEveryPage,
  quotaHeaders: headersBesideOrigin,
  decode,
  resolvesDots: true,
  removed: removedByConnection,
};
if (!config.origin && !service) {
  const hasLive = watching !== undefined;
  app.use(demoPage({ caller, config, rules: () => inForce.rules, hasLive }));
}
const inForce = new RulesInForce(config, (rules) => enforce(rules, caller, config, gate));
app.use(inForce.limit);
if (config.origin) app.all("*", gateway(routeTo(config.origin), config));
else if (service) app.all("*", gateway(routeToService(service), config));
else app.all("*", demoAnswer);

export default { fetch: anyStatusToHead(app) };

function watchItself({ tokens, watch: label, loggedDenials, hashSecret }: Config) {
  if (tokens.length === 0 || label === "off" || !("TURNPIKE_EVENTS" in env)) return undefined;
  const points = analyticsPoints(env);
  const { count } = ownEvents(env, points && (() => points.flush()));
  return watch({ label, loggedDenials }, count, keyHasher(hashSecret), points);
}
