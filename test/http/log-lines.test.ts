/** How many lines a client can have written: few, however many requests it sends. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { LIBRARY, startApp } from "../app-server.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const REQUESTS = 60;

let server: WorkerdServer | undefined;
let output = "";

afterEach(async () => {
  await server?.stop();
  output = "";
});

const onOutput = (text: string) => {
  output += text;
};

/** The events that were logged, each as often as there are lines about it. */
function events(): string[] {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => /"event":"([\w-]+)"/.exec(line)?.[1] ?? line).sort();
}

async function send(path: string, headers: Record<string, string> = {}): Promise<Set<number>> {
  const statuses = new Set<number>();
  for (let n = 0; n < REQUESTS; n++) {
    const init = { headers: { "CF-Connecting-IP": `192.0.2.${n}`, ...headers } };
    const response = await fetch(new URL(path, server?.url), init);
    await response.arrayBuffer();
    statuses.add(response.status);
  }
  return statuses;
}

describe("a client has no line written for each of its requests", () => {
  it("by the gateway", async () => {
    server = await startGate({ ORIGIN: "http://127.0.0.1:9", TOKEN: "right" }, { onOutput });
    expect(await send("/")).toEqual(new Set([502]));
    expect(await send("/_turnpike/v1/check", { Authorization: "Bearer wrong" })).toEqual(
      new Set([401]),
    );
    expect(await send("/_turnpike/v2/x")).toEqual(new Set([404]));
    expect(events()).toEqual(["origin-failed", "wrong-token"]);
  });

  it("by an app whose functions fail", async () => {
    server = await startApp(
      `const fail = () => { throw new Error("mine"); };
      const plain = { limit: 1000, window: "1h" };
      for (const field of ["key", "limit", "cost", "window"]) {
        app.use("/" + field, rateLimit({ name: field, ...plain, [field]: fail }));
      }
      app.use("/refusal", rateLimit({ name: "refusal", window: "1h", limit: 0, refusal: fail }));
      app.get("*", (c) => c.text("ok"));`,
      { onOutput },
    );
    expect(await send("/key")).toEqual(new Set([200]));
    for (const field of ["limit", "cost", "window"]) {
      expect(await send(`/${field}`), field).toEqual(new Set([500]));
    }
    expect(await send("/refusal")).toEqual(new Set([429]));
    const functions = ["cost", "key", "limit", "refusal", "window"];
    expect(events()).toEqual(functions.map((field) => `${field}-function-failed`));
  });

  it("by an app whose binding leads to objects of another class", async () => {
    server = await startApp(
      `app.use(rateLimit({ limit: 5, window: "1h" }));
      app.get("*", (c) => c.json(c.get("decision")));`,
      { onOutput },
      "export class RateLimiter extends DurableObject {}",
    );
    expect(await send("/")).toEqual(new Set([200]));
    expect(events()).toEqual(["wrong-class"]);
    expect(output).toContain("TURNPIKE_OWNERS must be a Durable Object binding");
  });

  it("by an app whose owners are farther away than the deadline, which is told", async () => {
    server = await startApp(
      `app.use(rateLimit({ limit: 5, window: "1h", key: () => "k" }));
      app.get("*", (c) => c.text(c.get("decision").source));`,
      { onOutput, vars: { DEADLINE: "50ms" } },
      `import { RateLimiter as Near } from ${LIBRARY};
      export class RateLimiter extends Near {
        async check(batch) {
          const answer = await super.check(batch);
          await scheduler.wait(100);
          return answer;
        }
      }`,
    );
    const sources = new Set<string>();
    for (let n = 0; n < 40 && !output.includes("deadline-too-short"); n++) {
      const response = await fetch(server.url);
      if (response.ok) sources.add(await response.text());
      await sleep(250);
    }
    expect(events()).toEqual(["deadline-too-short", "owner-failed"]);
    expect([...sources]).toContain("fallback");
    const [line = ""] = output.split("\n").filter((each) => each.includes("deadline-too-short"));
    const told = JSON.parse(line.slice(line.indexOf("{"))) as {
      deadlineMs: number;
      tookMs: number;
    };
    expect(told.deadlineMs).toBe(50);
    expect(told.tookMs).toBeGreaterThanOrEqual(50);
  });
});
