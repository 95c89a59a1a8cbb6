/** Libraries for Cloudflare's rate limiting binding, unmodified, over a binding to Turnpike. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleFile } from "../bench/contenders.ts";
import { bound, type Cluster, deployed, start, worker } from "./cluster.ts";

const LIMIT = 7;
const DAY_MS = 86_400_000;

let cluster: Cluster;
beforeAll(async () => {
  const script = await bundleFile(join(import.meta.dirname, "clients-worker.ts"));
  const serviceBindings = { LIMITER: bound("shared") };
  cluster = await start(
    await deployed([{ name: "shared", limit: LIMIT, window: "1d" }]),
    worker("a", script, { serviceBindings }),
    worker("b", script, { serviceBindings }),
  );
});
afterAll(() => cluster.stop());

const LIBRARIES = {
  "hono-rate-limiter in binding mode": (key: string) => [`/hono-rate-limiter/${key}`],
  "@elithrar/workers-hono-rate-limit": (key: string) => [`/elithrar/${key}`],
  "@orpc/experimental-ratelimit": (key: string) => [
    `/orpc/${key}/ping`,
    { method: "POST", body: "{}", headers: { "Content-Type": "application/json" } },
  ],
} satisfies Record<string, (key: string) => [path: string, init?: RequestInit]>;

describe.each(Object.entries(LIBRARIES))("%s", (_, request) => {
  const send = (name: string, key: string) => {
    const [path, init] = request(key) as [string, RequestInit?];
    return cluster.fetch(name, `http://app${path}`, init);
  };

  it("lets the limit pass and answers 429 to more", async () => {
    const key = crypto.randomUUID();
    const statuses: number[] = [];
    for (let at = 0; at < LIMIT + 2; at++) statuses.push((await send("a", key)).status);
    expect(statuses).toEqual([...new Array(LIMIT).fill(200), 429, 429]);
    expect((await send("a", crypto.randomUUID())).status).toBe(200);
  });

  it("is exact for two Workers and 50 parallel requests", async () => {
    const key = crypto.randomUUID();
    const sent = Array.from({ length: 50 }, (_, at) => send(at % 2 ? "a" : "b", key));
    const statuses = (await Promise.all(sent)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(LIMIT);
    expect(statuses.filter((status) => status === 429)).toHaveLength(50 - LIMIT);
  });
});

describe("@orpc/experimental-ratelimit's handler plugin", () => {
  it("writes its headers from what the binding answers", async () => {
    const [path, init] = LIBRARIES["@orpc/experimental-ratelimit"](crypto.randomUUID()) as [
      string,
      RequestInit,
    ];
    const send = () => cluster.fetch("a", `http://app${path}`, init);
    const passed = await send();
    expect(passed.headers.get("ratelimit-limit")).toBe(String(LIMIT));
    expect(passed.headers.get("ratelimit-remaining")).toBe(String(LIMIT - 1));
    const reset = Number(passed.headers.get("ratelimit-reset"));
    expect(reset - Date.now()).toBeLessThanOrEqual(DAY_MS);
    expect(reset).toBeGreaterThan(Date.now());
    for (let at = 1; at < LIMIT; at++) await send();
    const refused = await send();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("ratelimit-remaining")).toBe("0");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  });
});
