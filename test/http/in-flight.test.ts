/** Concurrency against a really running Worker: slots come back however a request ends. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DevServer, startDev, stateFolder } from "../dev-server.ts";

const state = stateFolder();
let server: DevServer;
let client = 0;

beforeAll(async () => {
  const here = `${process.cwd()}/test/http/in-flight-worker.ts`;
  const config = join(state.path, "in-flight.toml");
  writeFileSync(config, readFileSync("wrangler.toml", "utf8").replace("src/worker.ts", here));
  server = await startDev(state.path, {}, "--config", config);
});

afterAll(async () => {
  await server.kill();
  state[Symbol.dispose]();
});

/** Requests of one client of its own. */
function asNewClient() {
  const headers = { "CF-Connecting-IP": `192.0.2.${++client}`, "Accept-Encoding": "identity" };
  return (path: string, signal: AbortSignal | null = null) =>
    fetch(`${server.url}${path}`, { headers, signal });
}

/** Milliseconds until a request passes again, asked every 50 ms. */
async function untilFree(send: ReturnType<typeof asNewClient>): Promise<number> {
  const startMs = Date.now();
  while ((await send("/slow")).status !== 200) {
    if (Date.now() - startMs > 10_000) return Number.POSITIVE_INFINITY;
    await sleep(50);
  }
  return Date.now() - startMs;
}

describe("concurrency", () => {
  it("never has three in flight at limit 2, and frees a slot as each ends", async () => {
    const send = asNewClient();
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => {
        for (;;) {
          const { status } = await send("/slow");
          if (status === 200) return status;
          await sleep(20);
        }
      }),
    );
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200]);
    expect(await (await send("/most")).json()).toEqual({ inFlight: 0, most: 2 });
  });

  it("tells the third to come back, with the draft's unit", async () => {
    const send = asNewClient();
    const all = await Promise.all([send("/slow"), send("/slow"), send("/slow")]);
    const denied = all.find(({ status }) => status === 429);
    expect(all.map(({ status }) => status).sort()).toEqual([200, 200, 429]);
    expect(denied?.headers.get("RateLimit-Policy")).toBe('"slots";q=2;qu="concurrent-requests"');
    expect(Number(denied?.headers.get("Retry-After"))).toBeGreaterThan(0);
  });

  it("frees the slot of a handler that throws", async () => {
    const send = asNewClient();
    for (let n = 0; n < 6; n++) expect((await send("/throw")).status).toBe(500);
    expect((await send("/slow")).status).toBe(200);
  });

  it("frees the slots of clients that go away in mid-answer", async () => {
    const send = asNewClient();
    const aborts = [new AbortController(), new AbortController()];
    for (const { signal } of aborts) {
      const response = await send("/drip", signal);
      expect(response.status).toBe(200);
      await response.body?.getReader().read();
    }
    expect((await send("/slow")).status).toBe(429);
    for (const abort of aborts) abort.abort();
    expect(await untilFree(send)).toBeLessThan(2_000);
  });

  it("frees the slot of a holder that vanished after the window", async () => {
    const send = asNewClient();
    const hanging = [send("/hang"), send("/hang")];
    await sleep(300);
    expect((await send("/slow")).status).toBe(429);
    const freeMs = await untilFree(send);
    expect(freeMs).toBeGreaterThan(1_500);
    expect(freeMs).toBeLessThan(4_500);
    await Promise.all(hanging);
  });
});
