/** Refusals in a policy's own words. */
import { type Context, Hono } from "hono";
import { describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { isolateCaller } from "../../src/caller/isolate.ts";
import { parseConfig } from "../../src/config.ts";
import { EXPOSE } from "../../src/http/answer/cors.ts";
import { enforce } from "../../src/http/rate-limit.ts";
import { type Decision, type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";
import { useStoppedClock } from "../stopped-clock.ts";

useStoppedClock();

function appWith(...policies: Partial<RateLimitOptions>[]) {
  const app = new Hono();
  const named = policies.map((policy) => ({
    name: crypto.randomUUID(),
    limit: 0,
    window: "1h",
    ...policy,
  }));
  app.use(rateLimit(...named));
  app.get("*", (c) => c.text("Hi there!"));
  return (path = "/", init: RequestInit = {}) => {
    const headers = { "CF-Connecting-IP": "192.0.2.1", ...init.headers };
    return app.request(`https://site.example${path}`, { ...init, headers });
  };
}

/** What every refusal has. */
function expectFields(response: Response, name: string): void {
  expect(response.headers.get("RateLimit")).toBe(`"${name}";r=0;t=3600`);
  expect(response.headers.get("RateLimit-Policy")).toBe(`"${name}";q=0;w=3600`);
  expect(response.headers.get("Cache-Control")).toBe("no-store");
}

it("tells each client its own limit, one after the other", async () => {
  const written = { name: crypto.randomUUID(), limit: 3, window: "1h", key: ["header:X-Customer"] };
  const send = appWith(written);
  const question = { key: ["ada"], policies: [parsePolicy(written)], region: "weur" } as const;
  await isolateCaller().override(question, 2, 3_600_000);
  const denied = async (customer: string) => {
    const init = { headers: { "X-Customer": customer } };
    for (let n = 0; n < 3; n++) await send("/", init);
    const response = await send("/", init);
    const { detail } = await response.json<{ detail: string }>();
    return [response.headers.get("RateLimit-Policy")?.split(";")[1], detail.split(".")[0]];
  };
  expect(await denied("ada")).toEqual(["q=2", "The quota is 2 per h"]);
  expect(await denied("bob")).toEqual(["q=3", "The quota is 3 per h"]);
});

describe("a refusal of a policy's own", () => {
  it("is a text, whatever the client accepts", async () => {
    const send = appWith({ name: "own-text", refusal: { status: 403, body: "Grüß Gott" } });
    for (const Accept of ["application/json", "text/html", "*/*"]) {
      const response = await send("/", { headers: { Accept } });
      expect(response.status).toBe(403);
      expect(await response.text()).toBe("Grüß Gott");
      expect(response.headers.get("Content-Type")).toBe("text/plain; charset=utf-8");
      expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
      expect(response.headers.get("Retry-After")).toBe("3600");
      expectFields(response, "own-text");
    }
  });

  it("is a table, which is sent as JSON", async () => {
    const body = { error: { code: "slow_down" } };
    const response = await appWith({ name: "own-json", refusal: { body } })();
    expect(response.status).toBe(429);
    expect(response.headers.get("Content-Type")).toBe("application/json");
    expect(await response.json()).toEqual(body);
    expectFields(response, "own-json");
  });

  it("may be only another status, with the standard page or problem", async () => {
    const send = appWith({ name: "own-status", refusal: { status: 503 } });
    const problem = await send();
    expect(problem.status).toBe(503);
    expect(await problem.json()).toMatchObject({
      status: 503,
      "violated-policies": ["own-status"],
    });
    expectFields(problem, "own-status");
    const page = await send("/", { headers: { Accept: "text/html" } });
    expect(page.status).toBe(503);
    expect(await page.text()).toContain("<!doctype html>");
  });

  it("may be a redirect, without Retry-After", async () => {
    const send = appWith({ name: "own-place", refusal: { redirect: "/wait?from=gate" } });
    const response = await send("/shop?next=https://evil.example", { method: "POST" });
    expect(response.status).toBe(303);
    expect(response.headers.get("Location")).toBe("/wait?from=gate");
    expect(response.headers.get("Retry-After")).toBeNull();
    expectFields(response, "own-place");
  });

  it("leads nobody in a circle", async () => {
    for (const redirect of ["/wait", "https://site.example/wait?x=1"]) {
      const send = appWith({ refusal: { redirect, status: 302 } });
      expect((await send("/")).status).toBe(302);
      for (const path of ["/wait", "/wait?x=1", "/wait#a", "/./wait"]) {
        const response = await send(path);
        expect(response.status).toBe(429);
        expect(response.headers.get("Location")).toBeNull();
      }
    }
    const elsewhere = appWith({ refusal: { redirect: "https://status.example/wait" } });
    expect((await elsewhere("/wait")).headers.get("Location")).toBe("https://status.example/wait");
  });

  it("is that of the policy that decides", async () => {
    const send = appWith(
      { name: "short-own", window: "1m", refusal: { body: "a minute" } },
      { name: "long-own", window: "1d", refusal: { body: "a day" } },
    );
    expect(await (await send()).text()).toBe("a day");
    const other = appWith(
      { name: "short-too", window: "1m", refusal: { body: "a minute" } },
      { name: "long-standard", window: "1d" },
    );
    expect((await (await other()).text()).startsWith('{"type"')).toBe(true);
  });

  it("does not answer for an owner that is silent, nor for an address list", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const POLICIES = [
      { limit: 1, window: "1h", onFailure: "deny", refusal: { body: "slow down" } },
    ];
    const config = parseConfig({ POLICIES, DENY: ["192.0.2.9"] });
    const owners = new FakeOwners();
    owners.misbehave = () => {
      throw new Error("gone");
    };
    const caller = new Caller({ owners, runtime: WORKERS, ...config });
    const rules = config.policies.map((policy) => ({ policy }));
    const app = new Hono().use(enforce(rules, caller, config));
    const ask = (ip: string) => app.request("/", { headers: { "CF-Connecting-IP": ip } });
    expect((await ask("192.0.2.1")).status).toBe(503);
    expect((await ask("192.0.2.9")).status).toBe(403);
    owners.misbehave = undefined;
  });

  it("answers for one policy beside others without one", async () => {
    const send = appWith({ limit: 9, refusal: { body: "never" } }, { limit: 1 });
    expect((await send()).status).toBe(200);
    expect(await (await send()).json()).toMatchObject({ status: 429 });
  });
});

describe("a refusal function", () => {
  it("gives the whole response, from the request and the decision", async () => {
    const decisions: Decision[] = [];
    const refusal = (c: Context, decision: Decision) => {
      decisions.push(decision);
      return c.json({ path: c.req.path, wait: decision.retryAfterMs }, 420 as 400);
    };
    const response = await appWith({ name: "own-function", refusal })("/shop");
    expect(response.status).toBe(420);
    expect(await response.json()).toEqual({ path: "/shop", wait: 3_600_000 });
    expect(response.headers.get("Retry-After")).toBe("3600");
    expectFields(response, "own-function");
    expect(decisions).toMatchObject([{ policy: "own-function", reason: "limited", limit: 0 }]);
  });

  it("may be asynchronous, and gives what fetch gave, with the fields on it", async () => {
    const refusal = async () => {
      const given = await fetch("data:text/plain,elsewhere").catch(() => new Response("elsewhere"));
      return new Response(given.body, {
        status: 200,
        headers: {
          "Cache-Control": "public, max-age=60",
          "Retry-After": "7",
          RateLimit: '"other";r=5',
          Vary: "Cookie",
        },
      });
    };
    const response = await appWith({ name: "own-fetch", refusal })();
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("elsewhere");
    expect(response.headers.get("Retry-After")).toBe("7");
    expect(response.headers.get("Vary")).toBe("Cookie");
    expectFields(response, "own-fetch");
  });

  it.each<[string, (c: Context) => Response]>([
    ["Response", () => new Response("no", { headers: { [EXPOSE]: "X-Mine" } })],
    ["c.text", (c) => c.text("no", 429, { [EXPOSE]: "X-Mine" })],
    [
      "c.header",
      (c) => {
        c.header(EXPOSE, "X-Mine");
        return c.text("no");
      },
    ],
    ["none of its own", (c) => c.text("no")],
  ])("exposes its headers beside the fields: %s", async (how, refusal) => {
    const send = appWith({ name: `own-exposed-${how.replace(/\W/g, "-")}`, refusal });
    const { headers } = await send("/", { headers: { Origin: "https://app.example" } });
    const exposed = headers.get(EXPOSE)?.split(", ").sort();
    const own = how === "none of its own" ? [] : ["X-Mine"];
    expect(exposed).toEqual(["RateLimit", "RateLimit-Policy", "Retry-After", ...own]);
  });

  it("may redirect and set cookies", async () => {
    const refusal = (c: Context) => {
      c.header("Set-Cookie", "seen=1");
      return c.redirect("/captcha");
    };
    const response = await appWith({ name: "own-captcha", refusal })();
    expect(response.status).toBe(302);
    expect(response.headers.get("Location")).toBe("/captcha");
    expect(response.headers.getSetCookie()).toEqual(["seen=1"]);
    expect(response.headers.get("Retry-After")).toBeNull();
  });

  it.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("x".repeat(1_000));
      },
    ],
    ["rejects", () => Promise.reject(new Error("no"))],
    ["gives nothing", () => undefined],
    ["gives no response", () => "no"],
    [
      "gives one that was read",
      () => {
        const response = new Response("no");
        return response.text().then(() => response);
      },
    ],
  ])("that %s leaves the standard refusal, and one line in the log", async (_, refusal) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const send = appWith({ refusal: refusal as () => Response });
    for (let n = 0; n < 3; n++) {
      const response = await send();
      expect(response.status).toBe(429);
      expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    }
    expect(log).toHaveBeenCalledOnce();
    const [line] = log.mock.calls[0] as [string];
    expect(JSON.parse(line)).toMatchObject({ event: "refusal-function-failed", times: 1 });
    expect(line.length).toBeLessThan(400);
  });

  it("answers for an owner that is silent, too", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const refusal = (c: Context, { reason }: Decision) => c.text(reason);
    const config = parseConfig({ POLICIES: [{ limit: 1, window: "1h", onFailure: "deny" }] });
    const owners = new FakeOwners();
    owners.misbehave = () => {
      throw new Error("gone");
    };
    const caller = new Caller({ owners, runtime: WORKERS, ...config });
    const rules = config.policies.map((policy) => ({ policy, refusal }));
    const app = new Hono().use(enforce(rules, caller, config));
    expect(await (await app.request("/")).text()).toBe("failed");
  });
});
