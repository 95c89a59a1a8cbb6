/** Requests that a policy holds, refuses by address, only reports, or cannot count. */
import { Hono } from "hono";
import { describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { isolateCaller } from "../../src/caller/isolate.ts";
import { parseConfig } from "../../src/config.ts";
import { enforce } from "../../src/http/rate-limit.ts";
import type { Decision } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { appWith, statuses } from "./policy-app.ts";

useStoppedClock();

/** How long a caller waits for an owner, and three times that for another request's call. */
const DEADLINE_MS = 10_000;

describe("shadow", () => {
  it("decides, counts and reports in shadow, and never enforces", async () => {
    const send = appWith({ name: "trial", shadow: true });
    const reasons: string[] = [];
    for (let n = 0; n < 4; n++) {
      const { status, headers, body } = await send();
      expect(status).toBe(200);
      expect(headers.get("RateLimit")).toBeNull();
      reasons.push((JSON.parse(body) as { decision: Decision }).decision.reason);
    }
    expect(reasons).toEqual(["ok", "ok", "shadow", "shadow"]);
  });

  it("lets an enforced policy decide beside one in shadow, which counts no denied request", async () => {
    const send = appWith({ name: "trial-2", shadow: true, limit: 1 }, { name: "real", limit: 3 });
    expect(await statuses(send, [{}, {}, {}, {}])).toEqual([200, 200, 200, 429]);
  });

  it("refuses in shadow no address of the deny list, and no cost above the limit", async () => {
    const send = appWith({ shadow: true, limit: 2, deny: ["0.0.0.0/0"], cost: () => 9 });
    const { status, body } = await send();
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ decision: { reason: "shadow", remaining: 2 } });
    expect(() => appWith({ shadow: true, limit: 2, cost: 9 })).toThrow("cost must be at most 2");
  });

  it("holds no request in a leaky bucket in shadow", async () => {
    const send = appWith({ shadow: true, limit: 2, window: "2s", algorithm: "leaky-bucket" });
    await send();
    const { body } = await send();
    expect(JSON.parse(body)).toMatchObject({ decision: { reason: "ok", delayMs: 0 } });
  });
});

describe("maxWait", () => {
  it("holds a denied request within maxWait until it may pass", async () => {
    const waits = vi.spyOn(scheduler, "wait").mockImplementation(async (ms) => {
      // The wait for a call's deadline never ends, so the call always answers in time.
      if (ms === DEADLINE_MS) return new Promise(() => {});
      vi.setSystemTime(Date.now() + ms);
    });
    const send = appWith({ algorithm: "token-bucket", limit: 2, window: "2s", maxWait: "5s" });
    expect(await statuses(send, [{}, {}, {}, {}])).toEqual([200, 200, 200, 200]);
    const held = waits.mock.calls.map(([ms]) => ms).filter((ms) => ms !== DEADLINE_MS);
    expect(held).toEqual([1_000, 1_000]);
  });

  it("refuses at once a request that would have to wait longer than maxWait", async () => {
    const send = appWith({ limit: 1, maxWait: "5s" });
    expect(await statuses(send, [{}, {}])).toEqual([200, 429]);
  });
});

describe("the leaky bucket", () => {
  it("holds each request in a leaky bucket until its turn", async () => {
    const held: number[] = [];
    vi.spyOn(scheduler, "wait").mockImplementation((ms) => {
      if (ms === DEADLINE_MS || ms === 3 * DEADLINE_MS) return new Promise(() => {});
      if (ms > 1) held.push(ms);
      return Promise.resolve();
    });
    const send = appWith({ algorithm: "leaky-bucket", limit: 4, window: "4s" });
    const all = await Promise.all(Array.from({ length: 10 }, () => send()));
    expect(all.filter(({ status }) => status === 200)).toHaveLength(4);
    expect(held.sort((a, b) => a - b)).toEqual([1_000, 2_000, 3_000]);
  });

  it("holds no request for more than 60 s, whatever limit an operator gives its key", async () => {
    const held: number[] = [];
    vi.spyOn(scheduler, "wait").mockImplementation((ms) => {
      if (ms === DEADLINE_MS || ms === 3 * DEADLINE_MS) return new Promise(() => {});
      if (ms > 1) held.push(ms);
      return Promise.resolve();
    });
    const fields = { name: "hourly", algorithm: "leaky-bucket", limit: 1, window: "1h" } as const;
    const send = appWith(fields);
    const policies = [parsePolicy(fields)];
    const region = "weur";
    await isolateCaller().override({ key: ["192.0.2.1"], policies, region }, 180, 3_600_000);
    expect(await statuses(send, [{}, {}, {}, {}, {}, {}])).toEqual([200, 200, 200, 200, 429, 429]);
    expect(held).toEqual([20_000, 40_000, 60_000]);
    const { headers } = await send();
    expect(headers.get("Retry-After")).toBe("80");
  });

  it("tells of other policies what is left with its cost back, where it can hold no more", async () => {
    vi.spyOn(scheduler, "wait").mockImplementation((ms) =>
      ms === DEADLINE_MS || ms === 3 * DEADLINE_MS ? new Promise(() => {}) : Promise.resolve(),
    );
    const slow = { name: "slow", algorithm: "leaky-bucket", limit: 1, window: "1h" } as const;
    const daily = { name: "daily", limit: 10, window: "1d", cost: 2 } as const;
    const send = appWith(slow, daily, { ...daily, name: "by-host", key: ["host"] });
    const asked = { key: ["192.0.2.1"], policies: [parsePolicy(slow)], region: "weur" } as const;
    await isolateCaller().override(asked, 40, 3_600_000);
    expect((await send()).status).toBe(200);
    const { status, headers } = await send();
    expect(status).toBe(429);
    expect(headers.get("RateLimit")).toBe(
      '"slow";r=0;t=90, "daily";r=4;t=64800, "by-host";r=4;t=64800',
    );
  });
});

describe("address lists", () => {
  it("lets allowed addresses pass uncounted, and refuses denied ones that are not also allowed", async () => {
    const send = appWith({
      limit: 1,
      allow: ["192.0.2.7", "2001:db8:1::/48"],
      deny: ["192.0.2.0/24", "2001:db8::/32"],
    });
    const allowed = ["192.0.2.7", "192.0.2.7", "2001:db8:1::5", "::ffff:192.0.2.7"];
    expect(
      await statuses(
        send,
        allowed.map((ip) => ({ ip })),
      ),
    ).toEqual([200, 200, 200, 200]);
    const denied = ["192.0.2.8", "2001:db8:2::1", "::ffff:192.0.2.8"];
    expect(
      await statuses(
        send,
        denied.map((ip) => ({ ip })),
      ),
    ).toEqual([403, 403, 403]);
    const counted = ["198.51.100.1", "198.51.100.1", "2001:db9::1"];
    expect(
      await statuses(
        send,
        counted.map((ip) => ({ ip })),
      ),
    ).toEqual([200, 429, 200]);
  });

  it("refuses an address with a problem, or with a page", async () => {
    const send = appWith({ deny: ["0.0.0.0/0"] });
    const { headers, body } = await send();
    expect(headers.get("Content-Type")).toBe("application/problem+json");
    expect(JSON.parse(body)).toMatchObject({ status: 403, title: "Forbidden" });
    expect((await send({ headers: { Accept: "text/html" } })).body).toContain("<h1>Forbidden</h1>");
  });
});

describe("an owner out of reach", () => {
  function appOver(
    misbehave: (owner: string) => unknown,
    policy: object,
    owners = new FakeOwners(),
  ) {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    owners.misbehave = misbehave;
    const config = parseConfig({ HOME_REGION: "sam" });
    const app = new Hono();
    const rule = { policy: parsePolicy({ limit: 5, window: "1h", ...policy }) };
    app.use(enforce([rule], new Caller({ owners, runtime: WORKERS, ...config }), config));
    app.get("*", (c) => c.text("in"));
    return app;
  }
  const broken = () => Promise.reject(new Error("broken"));

  it("answers 503 if no owner answers and the policy says deny, without what is left", async () => {
    const response = await appOver(broken, { onFailure: "deny" }).request("/");
    expect(response.status).toBe(503);
    expect(response.headers.get("Retry-After")).toBe("1");
    expect(response.headers.get("RateLimit")).toBeNull();
    expect(await response.json()).toMatchObject({
      type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
    });
  });

  it("allows if no owner answers and the policy says allow", async () => {
    const response = await appOver(broken, { onFailure: "allow" }).request("/");
    expect([response.status, response.headers.get("RateLimit")]).toEqual([200, null]);
  });

  it("asks an owner in the region where the request came in", async () => {
    const owners = new FakeOwners();
    const app = appOver(broken, {}, owners);
    const cf = { continent: "OC", longitude: "151.2" } as IncomingRequestCfProperties;
    await app.request(new Request("https://site.example/", { cf }));
    await app.request("/");
    expect(owners.calls.map(({ owner }) => owner.split("/")[0])).toEqual(["oc", "sam"]);
  });

  it("reads a client's region once, since its address tells its place", async () => {
    const owners = new FakeOwners();
    const app = appOver(broken, {}, owners);
    let reads = 0;
    for (const _ of [1, 2]) {
      const request = new Request("https://site.example/", {
        headers: { "CF-Connecting-IP": "198.51.100.77" },
      });
      Object.defineProperty(request, "cf", { get: () => ({ continent: "AF", read: ++reads }) });
      await app.request(request);
    }
    expect(owners.calls.map(({ owner }) => owner.split("/")[0])).toEqual(["afr", "afr"]);
    expect(reads).toBe(1);
  });
});
