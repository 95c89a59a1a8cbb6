/**
 * The Worker that is deployed: every request is limited, then forwarded to the origin.
 *
 * Only wires the rooms together. The configuration is read as the module starts, so that a mistake
 * in it shows at once and not with the first request.
 */
import { env } from "cloudflare:workers";
import { isolateCaller, isolateMemberships } from "./caller/isolate.ts";
import { parseConfig } from "./config.ts";
import { demo } from "./dashboard/demo.ts";
import { refusePath } from "./http/answer.ts";
import { api, noSuchCall } from "./http/api.ts";
import { answerMistake, anyStatusToHead, newApp, pass } from "./http/app.ts";
import { openAnswer } from "./http/cors.ts";
import { gateway, routeTo, routeToService } from "./http/gateway.ts";
import { tellBesideOrigin } from "./http/origin-limits.ts";
import { couldBeOwn, isOrdinary, readingsOf } from "./http/path.ts";
import { enforce } from "./http/rate-limit.ts";

export { Turnpike } from "./binding/turnpike.ts";
export { OperatedMembership as Membership } from "./objects/operated-membership.ts";
export { RateLimiter } from "./objects/rate-limiter.ts";

const config = parseConfig(env);
const caller = isolateCaller();
const rules = config.policies.map((policy) => ({ policy }));
const { ORIGIN_SERVICE: service } = env as { ORIGIN_SERVICE?: Fetcher };

const app = newApp();
app.onError(answerMistake);
app.route("/_turnpike/v1", api(caller, config, isolateMemberships()));
app.use((c, next) => {
  if (isOrdinary(c.req.url)) return pass(c, next);
  if (couldBeOwn(c.req.url)) return Promise.resolve(noSuchCall());
  if (readingsOf(c.req.url)) return pass(c, next);
  openAnswer(c);
  return Promise.resolve(refusePath());
});
const gate = { open: openAnswer, tell: tellBesideOrigin, isRaw: true, resolvesDots: true };
app.use(enforce(rules, caller, config, gate));
if (config.origin) app.all("*", gateway(routeTo(config.origin), config));
else if (service) app.all("*", gateway(routeToService(service), config));
else app.all("*", demo);

export default { fetch: anyStatusToHead(app) };
