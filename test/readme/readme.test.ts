/** Holds the README to what the code does: its snippets run, its tables are the schemas' fields. */

import { Hono } from "hono";
import { parse as parseToml } from "smol-toml";
import { describe, expect, it, vi } from "vitest";
import secrets from "../../.dev.vars.example?raw";
import manifest from "../../package.json";
import readme from "../../README.md?raw";
import { isolateCaller } from "../../src/caller/isolate.ts";
import { gatewaySchema, parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api/api.ts";
import keyReadme from "../../src/http/key/README.md?raw";
import { enforce } from "../../src/http/rate-limit.ts";
import { ALGORITHMS } from "../../src/limit/algorithms.ts";
import policyInput from "../../src/limit/policy-input.ts?raw";
import { policySchema } from "../../src/limit/policy-schema.ts";
import { limiterSchema } from "../../src/limiter-config.ts";
import { BINDINGS } from "../../src/protocol/bindings.ts";
import kitReadme from "../../src/testing/README.md?raw";
import wranglerConfig from "../apps/hono/wrangler.jsonc?raw";
import serviceConfig from "../apps/service/limits/wrangler.toml?raw";
import { useStoppedClock } from "../stopped-clock.ts";
import app from "./app.ts";
import appSource from "./app.ts?raw";
import { byPlan, fewGuesses } from "./keys.ts";
import keysSource from "./keys.ts?raw";
import kitTest from "./kit.test.ts?raw";
import { mayLogIn } from "./logins.ts";
import loginsSource from "./logins.ts?raw";
import pageLoad from "./page-load.json";

/** What tests have an owner waited for; see `test/vitest.config.ts`. */
const DEADLINE_MS = 10_000;

function blocks(language: string, text = readme): string[] {
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, name]) => name === language)
    .map(([, , code]) => code as string);
}

/** The first cells of the table whose first heading is given. */
function rows(heading: string): string[] {
  const [, table] =
    new RegExp(`^\\| ${heading} \\|.*\\n\\| ---.*\\n((?:\\|.*\\n)+)`, "m").exec(readme) ?? [];
  const cells = [...(table ?? "").matchAll(/^\| (.*?) \|/gm)].map(([, cell]) => cell as string);
  return cells.flatMap((cell) => cell.replaceAll("`", "").split(", "));
}

/** One client's requests to a gate with the README's policies, and how its origin answers. */
async function gateOf(ip: string, answer: () => Response = () => new Response("fine")) {
  const [toml = ""] = blocks("toml");
  const config = parseConfig((parseToml(toml) as { vars: object }).vars);
  const rules = config.policies.map((policy) => ({ policy }));
  const gate = new Hono().use(enforce(rules, isolateCaller(), config)).all("*", answer);
  return async (path: string, init: RequestInit = {}) => {
    const headers = { "CF-Connecting-IP": ip, ...(init.headers as Record<string, string>) };
    return gate.request(path, { ...init, headers });
  };
}

const planned = new Hono().use("/api/*", byPlan).get("*", (c) => c.text("Hello"));

useStoppedClock();

describe("the README", () => {
  it("shows the code that is tested here", () => {
    expect(blocks("ts")).toEqual([appSource, loginsSource]);
    expect(blocks("ts", keyReadme)).toEqual([keysSource]);
  });

  it("shows an app that limits, and a quota by each customer's plan", async () => {
    const response = await app.request("/");
    expect(await response.text()).toBe("Hello");
    expect(response.headers.get("RateLimit")).toMatch(/^"default";r=599;t=\d+$/);
    const ask = (key: string) => planned.request("/api/", { headers: { "X-Api-Key": key } });
    expect((await ask("stranger")).headers.get("RateLimit")).toMatch(/"plan";r=99;/);
    expect((await ask("key-of-a-good-customer")).headers.get("RateLimit")).toMatch(
      /"plan";r=4999;/,
    );
  });

  it("links a login that stops the guesses for one user, and no right password", async () => {
    const login = new Hono().post("/login", fewGuesses, async (c) => {
      const { password } = await c.req.json();
      return c.text("", password === "right" ? 200 : 401);
    });
    const user = crypto.randomUUID();
    const send = async (password: string, name = user) => {
      const body = JSON.stringify({ user: name, password });
      return (await login.request("/login", { method: "POST", body })).status;
    };
    const statuses: number[] = [];
    for (const password of ["right", "1", "2", "3", "4", "5", "6", "right"]) {
      statuses.push(await send(password));
    }
    expect(statuses).toEqual([200, 401, 401, 401, 401, 401, 429, 429]);
    expect(await send("right", user.toUpperCase())).toBe(429);
    expect(await send("right", "another")).toBe(200);
    expect((await login.request("/login", { method: "POST", body: "no JSON" })).status).toBe(500);
  });

  it("shows a whole test of the app", () => {
    expect(blocks("ts", kitReadme)).toEqual([kitTest.replace("./app", "../src/index")]);
  });

  it("shows a limiter that denies the sixth", async () => {
    const user = crypto.randomUUID();
    const answers: boolean[] = [];
    for (let n = 0; n < 6; n++) answers.push(await mayLogIn(user));
    expect(answers).toEqual([true, true, true, true, true, false]);
  });

  it.each(Object.keys(ALGORITHMS))(
    "names %s, and so does the text that an editor shows",
    (name) => {
      expect(/^\| `algorithm` .*$/m.exec(readme)?.[0]).toContain(name);
      expect(policyInput).toContain(`* - \`"${name}"\`: `);
    },
  );

  it("shows a configuration that is read", () => {
    const [toml = ""] = blocks("toml");
    const { vars } = parseToml(toml) as { vars: object };
    expect(parseConfig(vars)).toMatchObject({
      origin: "https://example.com",
      policies: [
        { name: "site", capacity: 300 },
        { name: "pages", maxWaitMs: 10_000 },
        { name: "login", method: ["POST"], limit: 10 },
        { name: "day", key: ["header:X-Api-Key"] },
        { name: "api", key: ["ip"] },
        { name: "report", algorithm: "concurrency" },
      ],
    });
  });

  it("shows policies that let a page of 55 requests load without a refusal or a wait", async () => {
    const send = await gateOf("192.0.2.55");
    const startMs = Date.UTC(2036, 10, 23, 12);
    const late = vi.spyOn(scheduler, "wait");
    const statuses: number[] = [];
    for (const { atMs, path } of pageLoad) {
      vi.setSystemTime(startMs + atMs);
      statuses.push((await send(path)).status);
    }
    expect(statuses).toEqual(pageLoad.map(() => 200));
    expect(late.mock.calls.filter(([ms]) => ms < DEADLINE_MS)).toEqual([]);
  });

  it("shows policies that slow a crawler down", async () => {
    const send = await gateOf("192.0.2.56");
    vi.setSystemTime(Date.UTC(2036, 10, 24, 12));
    for (let page = 0; page < 30; page++) expect((await send(`/${page}`)).status).toBe(200);
    const controller = new AbortController();
    const held = send("/31", { signal: controller.signal });
    const first = await Promise.race([held, scheduler.wait(200)]);
    expect(first).toBeUndefined();
    controller.abort();
    await held.catch(() => {});
  });

  it.each([
    ["401", () => new Response("wrong", { status: 401 })],
    ["200", () => new Response("wrong")],
    ["302", () => new Response(null, { status: 302, headers: { Location: "/login?error" } })],
  ])("shows a login that stops guesses where the form answers %s", async (status, answer) => {
    const send = await gateOf(`192.0.2.${Number(status) % 250}`, answer);
    vi.setSystemTime(Date.UTC(2036, 10, 25, 12));
    const statuses: number[] = [];
    for (let n = 0; n < 12; n++) statuses.push((await send("/login", { method: "POST" })).status);
    expect(statuses).toEqual([...Array(10).fill(Number(status)), 429, 429]);
  });

  it("shows an API on which made-up keys win nothing", async () => {
    const send = await gateOf("192.0.2.57");
    vi.setSystemTime(Date.UTC(2036, 10, 26, 12));
    let passed = 0;
    for (let n = 0; n < 500; n++) {
      const { status } = await send("/api/x", { headers: { "X-Api-Key": `made-up-${n}` } });
      if (status === 200) passed++;
    }
    expect(passed).toBe(300);

    const statuses = await Promise.all(
      Array.from({ length: 150 }, (_, n) =>
        planned.request("/api/x", {
          headers: { "X-Api-Key": `made-up-${n}`, "CF-Connecting-IP": "192.0.2.58" },
        }),
      ),
    );
    expect(statuses.filter(({ status }) => status === 200)).toHaveLength(100);
  });

  it("shows the configuration of an app that `npm run test:apps` runs", () => {
    expect(blocks("jsonc")).toEqual([wranglerConfig]);
    const { exports } = parseToml(serviceConfig) as { exports: Record<string, object> };
    for (const [name, fields] of Object.entries(exports)) {
      expect(readme).toContain(`\`[exports.${name}]\``);
      for (const [field, value] of Object.entries(fields)) {
        expect(readme).toContain(`\`${field} = "${value}"\``);
      }
    }
  });

  it("shows commands that exist", () => {
    const commands = [...readme.matchAll(/npm (?:run )?(start|test|deploy)\b/g)].map(
      ([, name]) => name,
    );
    expect(new Set(commands)).toEqual(new Set(["start", "test", "deploy"]));
    expect(Object.keys(manifest.scripts)).toEqual(expect.arrayContaining(commands));
  });

  it("shows commands that install what they need, under NODE_ENV=production too", () => {
    for (const command of ["start", "test", "deploy"] as const) {
      expect(manifest.scripts[`pre${command}`]).toMatch(/^npm install --include=dev(?: && |$)/);
    }
  });

  it("shows a call that the API takes", async () => {
    const [, path, token, body] = /localhost:8787(\S+) -H "(.*?)".*?-d '(.*?)'/s.exec(readme) ?? [];
    const config = parseConfig({ TOKEN: "dev" });
    const response = await api(isolateCaller(), config).request(
      `${path}`.replace("/_turnpike/v1", ""),
      {
        method: "POST",
        headers: { Authorization: `${token}`.replace("Authorization: ", "") },
        body: `${body}`,
      },
    );
    expect(await response.json()).toMatchObject({ allowed: true, limit: 10 });
  });

  it("lists every field of a policy and every variable, and no others", () => {
    expect(rows("policy field")).toEqual(Object.keys(policySchema.entries));
    expect(rows("variable").sort()).toEqual(
      [...Object.keys(gatewaySchema.entries), ...Object.keys(limiterSchema.entries)].sort(),
    );
  });

  it("has a button for the repository of the package, which describes what there is", () => {
    const repository = manifest.repository.url.replace(/^git\+(.*)\.git$/, "$1");
    expect(readme).toContain(`(https://deploy.workers.cloudflare.com/?url=${repository})`);
    expect(readme).toContain(`github:${new URL(repository).pathname.slice(1)}`);
    const asked = [...secrets.matchAll(/^(\w+)=/gm)].map(([, name]) => name as string);
    expect(asked).toEqual(["HASH_SECRET"]);
    const known = [limiterSchema, gatewaySchema].flatMap(({ entries }) => Object.keys(entries));
    const described = Object.keys(manifest.cloudflare.bindings);
    expect([...known, ...Object.keys(BINDINGS), "TURNPIKE_EVENTS"]).toEqual(
      expect.arrayContaining(described),
    );
    expect(described).toEqual(expect.arrayContaining(asked));
  });

  it("is at most 220 lines long", () => {
    expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(220);
  });
});
