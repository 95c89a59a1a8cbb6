/** A replay denies what the middleware denies, fed the same requests with its clock set. */
import { readFileSync } from "node:fs";
import { Hono } from "hono";
import { afterAll, beforeEach, expect, it } from "vitest";
import { Clients } from "../../src/cli/replay/clients.ts";
import { readRecords } from "../../src/cli/replay/records.ts";
import { Replay } from "../../src/cli/replay/replay.ts";
import type { RateLimitOptions } from "../../src/http/rules.ts";
import { ALGORITHMS } from "../../src/limit/algorithms.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import { parseLimiterConfig } from "../../src/limiter-config.ts";
import { rateLimit } from "../../src/outside.ts";
import { installTestKit } from "../../src/testing/index.ts";
import { sampleLog } from "./sample-log.ts";
import { fileWith, removeFiles } from "./turnpike.ts";

/**
 * Another log, to try by hand: `ACCESS_LOG=access.log npm test -- test/cli/same-verdicts.test.ts`.
 */
const { ACCESS_LOG } = process.env;
const log = ACCESS_LOG ?? fileWith("access.log", sampleLog());

const DAY_MS = 86_400_000;
const kit = installTestKit();
beforeEach(() => kit.reset());
afterAll(removeFiles);

/** A leaky bucket holds requests, and nothing in a log says how long one has run. */
const NOT_COMPARED = ["leaky-bucket", "concurrency"] as const;

const LISTS: Record<string, RateLimitOptions[]> = {
  "a fixed window": [{ limit: 10, window: "60s" }],
  "windows from the first request": [{ limit: 10, window: "60s", start: "first" }],
  "a sliding window": [{ limit: 10, window: "60s", algorithm: "sliding-window" }],
  "a sliding log": [{ limit: 10, window: "60s", algorithm: "sliding-log" }],
  "a token bucket": [{ limit: 10, window: "60s", burst: 20, algorithm: "token-bucket" }],
  "a block": [{ limit: 10, window: "60s", blockFor: "5m" }],
  "several at once, by path, method, status and prefix": [
    { name: "site", limit: 30, window: "60s", except: ["*.css"] },
    { name: "login", path: "/login", method: ["POST"], limit: 5, window: "10m", charge: "failure" },
    { name: "page", key: ["ip/48", "path"], limit: 8, window: "2m", algorithm: "sliding-window" },
    { name: "all", key: ["method"], path: "/search", limit: 40, window: "5m" },
  ],
  "by address on all paths, and otherwise on some": [
    { name: "each", limit: 12, window: "60s" },
    { name: "find", key: ["ip", "path"], path: "/search", limit: 100, window: "60s" },
  ],
};

it("compares all algorithms but those that a log cannot tell", () => {
  const compared = Object.values(LISTS).flat();
  const names = compared.map(({ algorithm = "fixed-window" }) => algorithm);
  expect(new Set([...names, ...NOT_COMPARED])).toEqual(new Set(Object.keys(ALGORITHMS)));
});

it.each(Object.entries(LISTS))("under %s", async (title, policies) => {
  const name = title.replaceAll(" ", "-");
  const config = parseLimiterConfig({});
  const clients = new Clients(config.ipv6Prefix);
  const replay = new Replay(parsePolicies(policies, "policies"), config, clients);
  const app = new Hono();
  let status = 0;
  // One process takes each name once.
  app.use(rateLimit(...policies.map((each) => ({ ...each, name: each.name ?? name }))));
  app.all("*", () => new Response(null, { status }));
  const requests: { request: Request; atMs: number; status: number; replayed: boolean }[] = [];
  await readRecords([log], clients, { wantsValues: false, onRead: () => {} }, (record) => {
    const { atMs, address, method, target } = record;
    const headers = { "CF-Connecting-IP": clients.textOf(address) };
    const request = new Request(`https://log.invalid${target}`, { method, headers });
    requests.push({ request, atMs, status: record.status, replayed: replay.take(record) });
  });
  // The kit's clock begins in 2026. Whole days leave every window where it was.
  const behindMs = kit.clock.now() - (requests[0]?.atMs ?? 0);
  const shiftMs = Math.max(0, Math.ceil(behindMs / DAY_MS)) * DAY_MS;
  const different: object[] = [];
  for (const { request, atMs, replayed, ...logged } of requests) {
    status = logged.status || 200;
    if (kit.clock.now() < atMs + shiftMs) await kit.clock.set(atMs + shiftMs);
    const passed = (await app.request(request)).status !== 429;
    if (passed !== replayed) different.push({ url: request.url, atMs, passed, replayed });
  }
  expect(different).toEqual([]);
  expect(requests.some(({ replayed }) => !replayed)).toBe(true);
  expect(requests.length).toBe(readFileSync(log, "utf8").trim().split("\n").length);
});
