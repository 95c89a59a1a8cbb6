/** `cached()` in a Worker of a user, upon real owners. */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CACHE, LIBRARY, startApp } from "../app-server.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

let worker: WorkerdServer;

beforeAll(async () => {
  worker = await startApp(
    `
    let runs = 0;
    app.get("/runs", (c) => c.text(String(runs)));
    app.post("/purge", async (c) => { await cache().purgeUrl(c.req.query("url")); return c.text("ok"); });
    app.post("/purge-tag", async (c) => { await cache().purgeTag("search"); return c.text("ok"); });
    const load = async (ms) => { const run = ++runs; await scheduler.wait(ms); return { run }; };
    app.get("/value/:key", async (c) => {
      const options = { ttl: c.req.query("ttl") ?? "1h", staleFor: "1m", tags: ["search"] };
      return c.json(await cache(c.env).getOrCompute(c.req.param("key"), options, () => load(300)));
    });
    app.delete("/value/:key", async (c) => { await cache().purge(c.req.param("key")); return c.text("ok"); });
    app.use("/search/*", cached({ ttl: "1m", tags: ["search"] }));
    app.use("/short/*", cached({ ttl: "1s", staleFor: "1m" }));
    app.all("*", async (c) => {
      const run = ++runs;
      await scheduler.wait(Number(c.req.query("ms") ?? 0));
      if (c.req.path.endsWith("/private")) c.header("Cache-Control", "private");
      return c.text("run " + run);
    });`,
    { hasCache: true },
    `import { Cache, cache, cached } from ${CACHE};
     export { Cache };
     export { Membership, RateLimiter } from ${LIBRARY};`,
  );
});

afterAll(() => worker?.stop());

const send = (path: string, init: RequestInit = {}) => fetch(`${worker.url}${path}`, init);
const runs = async () => Number(await (await send("runs")).text());
const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("cached() upon owners", () => {
  it("runs the handler once for 200 requests at the same time", async () => {
    const before = await runs();
    const path = `search/stampede?ms=200`;
    const responses = await Promise.all(Array.from({ length: 200 }, () => send(path)));
    const bodies = await Promise.all(responses.map((each) => each.text()));
    expect(new Set(bodies).size).toBe(1);
    expect(await runs()).toBe(before + 1);
    expect((await send(path)).headers.get("Cache-Status")).toMatch(/^turnpike; hit; ttl=\d+$/);
  });

  it("gives each its own response where it is private", async () => {
    const path = "search/private?ms=50";
    const responses = await Promise.all(Array.from({ length: 20 }, () => send(path)));
    const bodies = await Promise.all(responses.map((each) => each.text()));
    expect(new Set(bodies).size).toBe(20);
  });

  it("has a request with content pass, since the handler may go by it", async () => {
    const status = async (content: string) => {
      const headers = { "Content-Length": content.length };
      const sending = request(`${worker.url}search/content`, { headers });
      sending.end(content);
      const [response] = (await once(sending, "response")) as [IncomingMessage];
      response.resume();
      return response.headers["cache-status"];
    };
    expect(await status("poison")).toBe("turnpike; fwd=bypass");
    expect(await status("")).toBe("turnpike; fwd=miss; stored");
    expect(await status("poison")).toBe("turnpike; fwd=bypass");
    expect(await status("")).toMatch("turnpike; hit");
  });

  it("forgets a URL at once after an unsafe request, a purge, and the purge of a tag", async () => {
    const path = "search/forget";
    const purges = [
      () => send(path, { method: "POST" }),
      () => send(`purge?url=${encodeURIComponent(worker.url + path)}`, { method: "POST" }),
      () => send("purge-tag", { method: "POST" }),
    ];
    for (const purge of purges) {
      const first = await (await send(path)).text();
      expect(await (await send(path)).text()).toBe(first);
      await (await purge()).text();
      expect(await (await send(path)).text()).not.toBe(first);
    }
  });

  it("serves a stale response while the handler makes another", async () => {
    const path = "short/stale?ms=300";
    const first = await (await send(path)).text();
    await after(1_100);
    const stale = await send(path);
    expect(await stale.text()).toBe(first);
    expect(stale.headers.get("Cache-Status")).toMatch(/^turnpike; hit; ttl=-\d+$/);
    await expect
      .poll(async () => (await send(path)).text(), { timeout: 20_000, interval: 100 })
      .not.toBe(first);
  });
});

describe("getOrCompute() upon owners", () => {
  it("computes once for 200 calls at the same time, until it is purged or stale", async () => {
    const before = await runs();
    const call = async (path = "value/a") =>
      ((await (await send(path)).json()) as { run: number }).run;
    const values = await Promise.all(Array.from({ length: 200 }, () => call()));
    expect(new Set(values)).toEqual(new Set([before + 1]));
    await send("value/a", { method: "DELETE" });
    expect(await call()).toBe(before + 2);
    const short = () => call("value/b?ttl=1s");
    expect(await short()).toBe(before + 3);
    await after(1_100);
    expect(await short()).toBe(before + 3);
    await expect.poll(short, { timeout: 20_000, interval: 100 }).toBe(before + 4);
  });
});

it("computes on for others though the client leaves whose call computes", async () => {
  const before = await runs();
  const first = request(`${worker.url}value/left`).on("error", () => {});
  first.end();
  await expect.poll(runs, { timeout: 20_000, interval: 10 }).toBe(before + 1);
  first.socket?.resetAndDestroy();
  expect(await (await send("value/left")).json()).toEqual({ run: before + 1 });
  expect(await runs()).toBe(before + 1);
});

describe("a deployment", () => {
  it("lets purges pass though the membership objects are of an older version still", async () => {
    const app = await startApp(
      `
      let runs = 0;
      app.get("/value", async (c) =>
        c.text(await cache().getOrCompute("a", { ttl: "1h" }, () => "run " + ++runs)));
      app.delete("/value", async (c) => { await cache().purge("a"); return c.body(null, 204); });
      app.delete("/", async (c) => { await cache().purgeTag("a tag"); return c.body(null, 204); });`,
      { hasCache: true, hasMembership: true },
      `import { Cache, cache } from ${CACHE};
       import { Membership, RateLimiter } from ${LIBRARY};
       delete Membership.prototype.ringIfUsed;
       export { Cache, Membership, RateLimiter };`,
    );
    try {
      const value = async () => (await fetch(`${app.url}value`)).text();
      expect([await value(), await value()]).toEqual(["run 1", "run 1"]);
      expect((await fetch(`${app.url}value`, { method: "DELETE" })).status).toBe(204);
      expect(await value()).toBe("run 2");
      expect((await fetch(app.url, { method: "DELETE" })).status).toBe(204);
    } finally {
      await app.stop();
    }
  });
});

describe("the README of the cache", () => {
  const path = join(import.meta.dirname, "../readme/search.ts");
  const readme = readFileSync(join(import.meta.dirname, "../../src/cache/README.md"), "utf8");

  it("has the example that is tested here", () => {
    const [, example] = /^```ts\n(.*?)^```$/ms.exec(readme) ?? [];
    expect(readFileSync(path, "utf8")).toBe(example);
  });

  it("has a search run once in 5 s for all, behind a limit that counts each request", async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: `
          let runs = 0;
          globalThis.fetch = async () => new Response("run " + ++runs);
          export { default, Cache, Membership, RateLimiter } from ${JSON.stringify(path)};`,
        resolveDir: import.meta.dirname,
        loader: "ts",
      },
      bundle: true,
      write: false,
      format: "esm",
      external: ["cloudflare:workers"],
      alias: {
        "turnpike/cache": join(import.meta.dirname, "../../src/cache.ts"),
        turnpike: join(import.meta.dirname, "../../src/index.ts"),
      },
    });
    const example = await startWorkerd({
      script: outputFiles[0]?.text ?? "",
      vars: { DEADLINE: "10s" },
      hasObjects: true,
      hasCache: true,
    });
    try {
      const search = () => fetch(`${example.url}search?q=zug`);
      const [first, second] = [await search(), await search()];
      expect(await first.text()).toBe("run 1");
      expect(await second.text()).toBe("run 1");
      expect(second.headers.get("Cache-Status")).toMatch(/^turnpike; hit/);
      expect(second.headers.get("RateLimit")).toMatch(/r=98;/);
    } finally {
      await example.stop();
    }
  });
});
