/** `HEADERS = "legacy"`, as clients read the fields that have no standard. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import got from "got";
import ky from "ky";
import { parseRateLimit } from "ratelimit-header-parser";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const NAMES = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
const POLICIES = [
  { name: "ten", path: "/ten/*", key: ["path"], limit: 10, window: "1d" },
  { name: "two", path: "/ten/*", key: ["path"], limit: 2, window: "1h" },
  { name: "slots", path: "/ten/*", limit: 1_000, window: "1h", algorithm: "concurrency" },
  {
    name: "second",
    path: "/second/*",
    key: ["path"],
    limit: 1,
    window: "1s",
    algorithm: "sliding-log",
  },
];

let origin: Server;
let gate: WorkerdServer;

beforeAll(async () => {
  origin = createServer(({ url }, outgoing) => {
    if (url?.endsWith("/own")) {
      outgoing.setHeader("X-RateLimit-Limit", "5").setHeader("X-RateLimit-Remaining", "0");
      outgoing.setHeader("X-RateLimit-Reset", "86400");
    }
    outgoing.end("origin");
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  gate = await startGate({
    ORIGIN: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
    POLICIES: JSON.stringify(POLICIES),
    HEADERS: "legacy",
  });
});

afterAll(async () => {
  await gate.stop();
  origin.closeAllConnections();
  origin.close();
});

describe("legacy fields", () => {
  it("tell of the policy with the least left, on what passes and on what is refused", async () => {
    for (const [status, remaining] of [
      [200, 1],
      [200, 0],
      [429, 0],
    ]) {
      const response = await fetch(`${gate.url}ten/a`);
      expect(response.status).toBe(status);
      const [, seconds] = /"two";r=\d+;t=(\d+)/.exec(response.headers.get("RateLimit") ?? "") ?? [];
      expect(NAMES.map((name) => response.headers.get(name))).toEqual([
        "2",
        `${remaining}`,
        seconds,
      ]);
    }
  });

  it("are read by a parser of such fields", async () => {
    const headers = new Headers((await fetch(`${gate.url}ten/b`)).headers);
    // The parser looks for the standard field first, and knows only its form of draft 7.
    headers.delete("RateLimit");
    const seconds = Number(headers.get("X-RateLimit-Reset"));
    const { reset, ...counts } = parseRateLimit(headers) ?? {};
    expect(counts).toEqual({ limit: 2, used: 1, remaining: 1 });
    expect(Math.abs((reset?.getTime() ?? 0) - Date.now() - seconds * 1_000)).toBeLessThan(60_000);
  });

  it("are an origin's own if those are stricter", async () => {
    const { headers } = await fetch(`${gate.url}ten/own`);
    expect(NAMES.map((name) => headers.get(name))).toEqual(["2", "0", "86400"]);
  });

  it("can be read by pages of other sites", async () => {
    const headers = { Origin: "https://app.example" };
    const answers = [];
    for (let n = 0; n < 3; n++) answers.push(await fetch(`${gate.url}ten/c`, { headers }));
    expect(answers.at(-1)?.status).toBe(429);
    expect(answers.at(-1)?.headers.get("Access-Control-Expose-Headers")).toBe(
      "RateLimit, RateLimit-Policy, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
    );
  });

  it.each([
    ["got", (url: string) => got(url).text()],
    ["ky", (url: string) => ky(url).text()],
  ])("do not mislead %s, which waits and passes", async (name, send) => {
    for (let n = 0; n < 2; n++) expect(await send(`${gate.url}second/${name}`)).toBe("origin");
  });
});
