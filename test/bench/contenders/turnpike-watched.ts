/** Turnpike as it is measured, which counts what it decides, with a live page to be opened. */
// Before `./turnpike.ts`, which makes a limiter.
import "./watched-caller.ts";

import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { isolateCaller, isolateMembershipClient } from "../../../src/caller/isolate.ts";
import { parseConfig } from "../../../src/config.ts";
import { livePage } from "../../../src/dashboard/live.ts";
import { ownEvents } from "../../../src/events.ts";
import { authorize } from "../../../src/http/api/authorization.ts";
import turnpike from "./turnpike.ts";

export { Events } from "../../../src/events.ts";
export { Membership, RateLimiter } from "./turnpike.ts";

const config = parseConfig(env);
const ringsOf = async () => (await isolateMembershipClient()?.status(config.homeRegion)) ?? [];

const app = new Hono();
app.route(
  "/_turnpike",
  livePage(authorize(isolateCaller(), config), config, ownEvents(env).reader, ringsOf),
);
app.route("/", turnpike);

export default app;
