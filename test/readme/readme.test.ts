/** Holds the README to what the code does: its snippets run, its tables are the schemas' fields. */
import { parse as parseToml } from "smol-toml";
import { describe, expect, it, vi } from "vitest";
import manifest from "../../package.json";
import readme from "../../README.md?raw";
import { isolateCaller } from "../../src/caller/isolate.ts";
import { gatewaySchema, limiterSchema, parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api.ts";
import { policySchema } from "../../src/limit/policy.ts";
import app from "./app.ts";
import appSource from "./app.ts?raw";
import { mayLogIn } from "./logins.ts";
import loginsSource from "./logins.ts?raw";

function blocks(language: string): string[] {
  return [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, name]) => name === language)
    .map(([, , text]) => text as string);
}

/** The first cells of the table whose first heading is given. */
function rows(heading: string): string[] {
  const [, table] =
    new RegExp(`^\\| ${heading} \\|.*\\n\\| ---.*\\n((?:\\|.*\\n)+)`, "m").exec(readme) ?? [];
  const cells = [...(table ?? "").matchAll(/^\| (.*?) \|/gm)].map(([, cell]) => cell as string);
  return cells.flatMap((cell) => cell.replaceAll("`", "").split(", "));
}

describe("the README", () => {
  it("shows the code that is tested here", () => {
    expect(blocks("ts")).toEqual([appSource, loginsSource]);
  });

  it("shows an app that limits, and a customer with a plan of his own", async () => {
    const response = await app.request("/");
    expect(await response.text()).toBe("Hello");
    expect(response.headers.get("RateLimit")).toMatch(/^"default";r=599;t=\d+$/);
    const ask = (key: string) => app.request("/api/", { headers: { "X-Api-Key": key } });
    expect((await ask("stranger")).headers.get("RateLimit")).toMatch(/"plan";r=99;/);
    expect((await ask("key-of-a-good-customer")).headers.get("RateLimit")).toMatch(
      /"plan";r=4999;/,
    );
  });

  it("shows a limiter that denies the sixth", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2036, 10, 22, 12) });
    const user = crypto.randomUUID();
    const answers: boolean[] = [];
    for (let n = 0; n < 6; n++) answers.push(await mayLogIn(user));
    vi.useRealTimers();
    expect(answers).toEqual([true, true, true, true, true, false]);
  });

  it("shows a configuration that is read", () => {
    const [toml = ""] = blocks("toml");
    const { vars } = parseToml(toml) as { vars: object };
    expect(parseConfig(vars)).toMatchObject({
      origin: "https://example.com",
      policies: [
        { name: "login", method: ["POST"], charge: "failure" },
        { name: "burst", capacity: 50, key: ["header:X-Api-Key"] },
        { name: "day", windowMs: 86_400_000 },
        { name: "crawl", algorithm: "leaky-bucket", capacity: 21 },
        { name: "report", algorithm: "concurrency" },
      ],
    });
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
      expect(manifest.scripts[`pre${command}`]).toBe("npm install --include=dev");
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

  it("is at most 220 lines long", () => {
    expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(220);
  });
});
