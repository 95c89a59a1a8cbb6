/** A limiter that a request meets in several places. */
import { Hono } from "hono";
import { expect, it } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { enforce } from "../../src/http/rate-limit.ts";
import { type RateLimitEnv, rateLimit } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";

const limiterOf = (name: string, limit = 10) =>
  rateLimit({ name: `${name}-${crypto.randomUUID()}`, limit, window: "1d", key: () => "all" });

it("a limiter that is mounted twice counts a request once, and its fields are told once", async () => {
  const limiter = limiterOf("same");
  const other = limiterOf("other");
  const app = new Hono<RateLimitEnv>();
  const part = new Hono<RateLimitEnv>();
  app.use("/part/*", limiter);
  part.use(limiter, other);
  part.get("/x", limiter, (c) => c.json(c.var.decisions?.map(({ remaining }) => remaining)));
  app.route("/part", part);
  for (const remaining of [9, 8]) {
    const response = await app.request("/part/x");
    expect(await response.json()).toEqual([remaining, remaining]);
    expect(response.headers.get("RateLimit")?.match(/"same-/g)).toHaveLength(1);
    expect(response.headers.get("RateLimit-Policy")?.match(/"/g)).toHaveLength(4);
  }
});

it("a limiter that is made twice under one name counts a request once", async () => {
  const name = `anew-${crypto.randomUUID()}`;
  const make = () => rateLimit({ name, limit: 10, window: "1d", key: ["host"] });
  const app = new Hono<RateLimitEnv>();
  app.use(make(), make());
  app.get("/", (c) => c.json(c.var.decision?.remaining));
  expect(await (await app.request("/")).json()).toBe(9);
});

it("a response that a handler gives to all requests has the fields of one", async () => {
  const missing = new Response(null, { status: 404, headers: { "X-Own": "1" } });
  const app = new Hono<RateLimitEnv>();
  app.use(limiterOf("outer"), limiterOf("inner"));
  app.get("/", () => missing);
  for (const left of [9, 8, 7]) {
    const { status, headers } = await app.request("/");
    expect([status, headers.get("X-Own")]).toEqual([404, "1"]);
    expect(headers.get("RateLimit")?.match(/r=\d+/g)).toEqual([`r=${left}`, `r=${left}`]);
  }
});

it("a limiter still counts the policies that no earlier limiter has counted", async () => {
  const policyOf = (name: string) => {
    return { name: `${name}-${crypto.randomUUID()}`, limit: 10, window: "1d", key: ["host"] };
  };
  const one = policyOf("one");
  const two = policyOf("two");
  const app = new Hono<RateLimitEnv>();
  app.use(rateLimit(one), rateLimit(one, two));
  app.get("/", (c) => c.json(c.var.decisions?.map(({ remaining }) => remaining)));
  expect(await (await app.request("/")).json()).toEqual([9, 9]);
});

it("a limiter that is mounted twice takes one slot", async () => {
  const slot = rateLimit({
    name: `slot-${crypto.randomUUID()}`,
    algorithm: "concurrency",
    limit: 1,
    window: "1m",
    key: () => "all",
  });
  const app = new Hono<RateLimitEnv>();
  app.use(slot);
  app.get("/", slot, (c) => c.text("in"));
  for (let n = 0; n < 3; n++) {
    const response = await app.request("/");
    expect([response.status, await response.text()]).toEqual([200, "in"]);
  }
});

it("the legacy fields are those of the stricter of two limiters", async () => {
  const config = parseConfig({ HEADERS: "legacy" });
  const caller = new Caller({ owners: new FakeOwners(), runtime: WORKERS, ...config });
  const limiterOf = (name: string, limit: number) =>
    enforce(
      [{ policy: parsePolicy({ name, limit, window: "1d", key: ["host"] }) }],
      caller,
      config,
    );
  for (const limits of [
    [9, 5],
    [5, 9],
  ]) {
    const app = new Hono();
    for (const limit of limits) app.use(limiterOf(`${limits.join("-")}.${limit}`, limit));
    app.get("/", (c) => c.text("in"));
    const { headers } = await app.request("/");
    expect(headers.get("X-RateLimit-Limit")).toBe("5");
    expect(headers.get("X-RateLimit-Remaining")).toBe("4");
  }
});
