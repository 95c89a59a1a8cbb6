/**
 * Blocks that policies put on keys: through the middleware, the library, the API and the objects.
 */
import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { counterPolicy } from "../../src/caller/message.ts";
import type { Question } from "../../src/caller/question.ts";
import { limiter, type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { Exporter } from "../../src/owner/change/export.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";
import { askObject } from "../owner/ask-object.ts";
import { OwnerRig } from "../owner/owner-rig.ts";
import { putRows } from "../owner/put-rows.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { answer, fresh, post } from "./api-client.ts";

const now = useStoppedClock({ laterMs: 100 * 86_400_000 });

function appWith(options: Partial<RateLimitOptions>) {
  const app = new Hono();
  const name = crypto.randomUUID();
  app.use(rateLimit({ name, limit: 2, window: "1m", blockFor: "10m", ...options }));
  app.get("*", (c) => c.text("Hi there!", c.req.path === "/fail" ? 401 : 200));
  return async (path = "/") => {
    const pending: Promise<unknown>[] = [];
    const context = { waitUntil: (task: Promise<unknown>) => pending.push(task) };
    const headers = { "CF-Connecting-IP": "192.0.2.1" };
    const request = new Request(`https://site.example${path}`, { headers });
    const response = await app.fetch(request, {}, context as unknown as ExecutionContext);
    await Promise.all(pending);
    return response;
  };
}

function isolate(owners = new FakeOwners()) {
  const options = { ownersPerRegion: 1, homeRegion: "weur", hashSecret: "secret" } as const;
  return { owners, caller: new Caller({ ...options, owners, runtime: WORKERS }) };
}

function ask(change: Partial<PolicyInput> = {}): Question {
  const policy = parsePolicy({ limit: 1, window: "1m", blockFor: "10m", ...change });
  return { key: ["a client"], policies: [policy], region: "weur" };
}

async function decide({ caller }: ReturnType<typeof isolate>, question = ask()) {
  const [reply] = await caller.check([question]);
  return reply?.decisions[0];
}

describe("a client that is denied under blockFor", () => {
  it("stays denied for that long, is told how long, and then passes", async () => {
    const send = appWith({ name: "blocks" });
    await send();
    await send();
    const denied = await send();
    expect(denied.status).toBe(429);
    expect(denied.headers.get("Retry-After")).toBe("600");
    expect(denied.headers.get("RateLimit")).toBe('"blocks";r=0;t=600');
    expect(await denied.json()).toMatchObject({
      detail: "This client is blocked for now. Try again in 10 min.",
      "violated-policies": ["blocks"],
    });
    vi.setSystemTime(now() + 300_000);
    expect((await send()).headers.get("Retry-After")).toBe("300");
    vi.setSystemTime(now() + 599_999);
    expect((await send()).status).toBe(429);
    vi.setSystemTime(now() + 600_000);
    expect((await send()).headers.get("RateLimit")).toBe('"blocks";r=1;t=60');
  });

  it("is blocked for twice as long each time it comes back soon, and to a bound", async () => {
    const send = appWith({ limit: 1, window: "1s", blockFor: { first: "1m", max: "5m" } });
    const lengths: number[] = [];
    const deny = async () => {
      await send();
      lengths.push(Number((await send()).headers.get("Retry-After")));
    };
    let atMs = now();
    for (const afterMs of [0, 60_000, 120_000, 240_000, 300_000]) {
      atMs += afterMs;
      vi.setSystemTime(atMs);
      await deny();
    }
    expect(lengths).toEqual([60, 120, 240, 300, 300]);
    // Two lengths after its last block, the client is like any other.
    vi.setSystemTime(atMs + 300_000 + 599_999);
    await deny();
    vi.setSystemTime(atMs + 300_000 + 599_999 + 300_000 + 600_000);
    await deny();
    expect(lengths.slice(5)).toEqual([300, 60]);
  });

  it("is not blocked for longer by requests in the meantime", async () => {
    const send = appWith({ limit: 1 });
    for (let n = 0; n < 50; n++) await send();
    vi.setSystemTime(now() + 600_000);
    expect((await send()).status).toBe(200);
  });

  it("stays blocked though what it spent is given back", async () => {
    const send = appWith({ limit: 2, charge: "failure" });
    await send("/fail");
    await send("/fail");
    expect((await send("/")).status).toBe(429);
    vi.setSystemTime(now() + 60_000);
    expect((await send("/")).status).toBe(429);
    vi.setSystemTime(now() + 600_000);
    expect((await send("/")).status).toBe(200);
  });
});

describe("the library and the API", () => {
  it("block, explain, and forget a block with a reset or an unblock", async () => {
    const logins = limiter({ name: "blocking-logins", limit: 1, window: "15m", blockFor: "1h" });
    await logins.check("ada");
    expect(await logins.peek("ada")).toMatchObject({ reason: "limited", retryAfterMs: 900_000 });
    const denied = await logins.check("ada");
    expect(denied).toMatchObject({ reason: "blocked", remaining: 0, retryAfterMs: 3_600_000 });
    expect(await logins.refund("ada")).toMatchObject({ allowed: false, reason: "blocked" });
    expect(await logins.explain("ada")).toMatchObject({
      blockedMs: 0,
      policies: [{ state: expect.stringMatching(/; blocked for (?:1 h|59 min \d+ s) more$/) }],
    });
    await logins.reset("ada");
    expect(await logins.check("ada")).toMatchObject({ allowed: true });
    expect(await logins.check("ada")).toMatchObject({ retryAfterMs: 3_600_000 });
    vi.setSystemTime(now() + 900_000);
    await logins.unblock("ada");
    expect(await logins.check("ada")).toMatchObject({ allowed: true, remaining: 0 });
    expect(await logins.check("ada")).toMatchObject({ retryAfterMs: 3_600_000 });
  });

  it("take it in an inline policy, and name what is wrong with it", async () => {
    const inline = { key: fresh(), limit: 1, window: "1m", blockFor: { first: "2h" } };
    await post("/check", inline);
    expect(await answer(post("/check", inline))).toMatchObject({
      allowed: false,
      reason: "blocked",
      retryAfterMs: 7_200_000,
    });
    const { blockFor: _, ...plain } = inline;
    expect(await answer(post("/peek", plain))).toMatchObject({ reason: "limited" });
    await post("/unblock", { key: inline.key });
    vi.setSystemTime(now() + 60_000);
    expect(await answer(post("/check", inline))).toMatchObject({ allowed: true });
    expect(await answer(post("/check", { ...inline, blockFor: "1ms" }))).toMatchObject({
      field: "blockFor",
    });
  });
});

describe("an isolate", () => {
  it("remembers a block for all its length, as long as it hears from the owner", async () => {
    const home = isolate();
    await decide(home);
    expect(await decide(home)).toMatchObject({ reason: "blocked", source: "owner" });
    let asked = 0;
    for (let second = 1; second < 600; second++) {
      vi.setSystemTime(now() + second * 1_000);
      const other = { ...ask({ name: "other", limit: 1_000 }), key: ["another client"] };
      await decide(home, other);
      const decision = await decide(home);
      expect(decision).toMatchObject({
        reason: "blocked",
        retryAfterMs: 600_000 - second * 1_000,
      });
      if (decision?.source === "owner") asked++;
    }
    expect(asked).toBeLessThan(5);
    vi.setSystemTime(now() + 600_000);
    expect(await decide(home)).toMatchObject({ allowed: true, source: "owner" });
  });

  it("does not apply a block under a policy of the same name without `blockFor`", async () => {
    const home = isolate();
    await decide(home);
    await decide(home);
    vi.setSystemTime(now() + 60_000);
    const { blockFor: _, ...policy } = ask().policies[0] as ReturnType<typeof parsePolicy>;
    const plain = { ...ask(), policies: [{ ...policy, blockFor: undefined }] };
    expect(await decide(home)).toMatchObject({ reason: "blocked" });
    expect(await decide(home, plain)).toMatchObject({ allowed: true });
  });

  it("blocks by itself while the owner is silent", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const home = isolate();
    home.owners.misbehave = () => {
      throw new Error("gone");
    };
    await decide(home);
    expect(await decide(home)).toMatchObject({
      reason: "blocked",
      retryAfterMs: 600_000,
      source: "fallback",
      exact: false,
    });
  });
});

describe("an owner", () => {
  const KEY = { hi: 1, lo: 2 };
  const asked = (change: Partial<PolicyInput> = {}) => [
    {
      key: KEY,
      policies: [counterPolicy(ask({ blockFor: "1d", ...change }).policies[0] as never)],
    },
  ];

  it("knows after an eviction whom its policies have blocked, and for how long", async () => {
    const owner = env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
    await askObject(owner, "check", asked());
    await askObject(owner, "check", asked());
    await scheduler.wait(700);
    await evictDurableObject(owner);
    vi.setSystemTime(now() + 86_399_999);
    const { verdicts } = await askObject(owner, "check", asked());
    expect(verdicts).toMatchObject([[{ reason: "blocked", retryAfterMs: 1 }]]);
    vi.setSystemTime(now() + 86_400_000);
    await askObject(owner, "check", asked());
    const longer = await askObject(owner, "check", asked({ blockFor: { first: "1d", max: "9d" } }));
    expect(longer.verdicts).toMatchObject([[{ retryAfterMs: 2 * 86_400_000 }]]);
  });

  it("has a durable policy's block, and its end, on disk before it answers", async () => {
    const name = `weur/${crypto.randomUUID()}`;
    const owner = () => env.TURNPIKE_OWNERS.getByName(name);
    const durable = asked({ durable: true });
    await askObject(owner(), "check", durable);
    await askObject(owner(), "check", durable);
    await abortAllDurableObjects();
    const after = await askObject(owner(), "peek", durable);
    expect(after.verdicts).toMatchObject([[{ reason: "blocked" }]]);
    await owner().unblock(0, KEY);
    await abortAllDurableObjects();
    vi.setSystemTime(now() + 60_000);
    const free = await askObject(owner(), "check", durable);
    expect(free.verdicts).toMatchObject([[{ reason: "ok" }]]);
    await askObject(owner(), "check", durable);
    await askObject(owner(), "reset", durable);
    await abortAllDurableObjects();
    const forgotten = await askObject(owner(), "check", durable);
    expect(forgotten.verdicts).toMatchObject([[{ reason: "ok" }]]);
  });

  it("hands blocks over with their keys in a ring change", async () => {
    const before = await new OwnerRig().start();
    before.check(asked());
    before.check(asked());
    const after = await new OwnerRig().start();
    putRows(after, new Exporter(before).exportKeys([KEY]));
    expect(after.peek(asked({ window: "2m" })).verdicts).toMatchObject([
      [{ reason: "blocked", remaining: 0 }],
    ]);
  });
});
