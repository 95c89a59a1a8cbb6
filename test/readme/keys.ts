import type { Context } from "hono";
import { addressKey, rateLimit } from "turnpike";

const PLANS = new Map([["key-of-a-good-customer", 5_000]]);
const customerOf = (c: Context) => c.req.header("X-Api-Key") ?? "";
const limit = (c: Context) => PLANS.get(customerOf(c)) ?? 100;
// Unknown keys are counted by address, so inventing them gains nothing.
const key = (c: Context) => (PLANS.has(customerOf(c)) ? customerOf(c) : addressKey(c));
export const byPlan = rateLimit({ name: "plan", key, limit, window: "1h" });

const user = async (c: Context) => {
  const body = await c.req.json<{ user?: string }>().catch(() => undefined);
  const name = String(body?.user ?? "");
  return name.normalize("NFC").toLowerCase() || addressKey(c);
};
export const fewGuesses = rateLimit({
  name: "guesses",
  key: user,
  limit: 5,
  window: "15m",
  charge: [401],
  blockFor: "15m",
});
