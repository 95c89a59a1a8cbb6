/** `cacheApi()` in an app: who may purge what, and what is said of mistakes. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CACHE, LIBRARY, startApp } from "../app-server.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";

const CODE = `
  let runs = 0;
  const options = { ttl: "1h", tags: ["search"] };
  app.route("/_turnpike/v1/cache", cacheApi());
  app.get("/value", async (c) =>
    c.json(await cache().getOrCompute("rates", options, () => ++runs)));
  app.get("/own", cached({ ttl: "1h", key: () => "rates" }), (c) => c.json(++runs));
  app.get("/search", cached(options), (c) => c.json(++runs));`;
const IMPORTS = `import { cache, cacheApi, cached } from ${CACHE};
  export { Membership, RateLimiter } from ${LIBRARY};`;
const VARS = { TOKEN: "secret-1 check:counts", DEADLINE: "10s" };

let worker: WorkerdServer;

beforeAll(async () => {
  const classes = `${IMPORTS} export { Cache } from ${CACHE};`;
  worker = await startApp(CODE, { vars: VARS, hasCache: true }, classes);
});
afterAll(() => worker?.stop());

async function purge(body: unknown, { url } = worker, token = "secret-1") {
  const response = await fetch(`${url}_turnpike/v1/cache/purge`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "CF-Connecting-IP": "192.0.2.1" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, ...(text && JSON.parse(text)) };
}

const get = async (path: string) => (await fetch(`${worker.url}${path}`)).text();

describe("a purge by the API", () => {
  it.each([
    ["a key", ["value", "own"], () => ({ key: "rates" })],
    ["a URL", ["search?q=zug"], () => ({ url: `${worker.url}search?q=zug#top` })],
    ["a tag", ["value", "search"], () => ({ tag: "search" })],
  ])("forgets what is kept under %s", async (_, paths, body) => {
    const before = await Promise.all(paths.map(get));
    expect(await Promise.all(paths.map(get))).toEqual(before);
    expect(await purge(body())).toEqual({ status: 204 });
    for (const [at, path] of paths.entries()) expect(await get(path)).not.toBe(before[at]);
  });

  it.each([
    [{}, "key", "key is required, or url or tag, got nothing"],
    [{ key: "" }, "key", 'key must be text of 1 to 1024 characters, got ""'],
    [{ key: ["a"] }, "key", 'key must be text of 1 to 1024 characters, got ["a"]'],
    [{ key: "a", tag: "b" }, "tag", `tag can't stand beside key, got "b"`],
    [{ url: "/search" }, "url", "url must be a whole URL such as "],
    [{ tags: ["a"] }, "tags", 'tags is not a known field (did you mean "tag"?), got ["a"]'],
    [[], "", "input must be an object, got []"],
    ["{", "", 'input must be JSON, got "{"'],
  ])("names what is wrong: %j", async (body, field, detail) => {
    const answer = await purge(body);
    expect(answer).toMatchObject({ status: 400, field });
    expect(answer.detail).toContain(detail);
  });

  it("is refused without an admin's token, and by another method", async () => {
    expect(await purge({ tag: "a" }, worker, "guessed")).toMatchObject({ status: 401 });
    expect(await purge({ tag: "a" }, worker, "counts")).toMatchObject({ status: 403 });
    const headers = { Authorization: "Bearer secret-1" };
    const got = await fetch(`${worker.url}_turnpike/v1/cache/purge`, { headers });
    expect([got.status, got.headers.get("Allow")]).toEqual([405, "POST"]);
    const other = await fetch(`${worker.url}_turnpike/v1/cache/other`, { headers });
    expect(other.status).toBe(404);
  });
});

describe("an app", () => {
  it("without the class Cache says which class it needs", async () => {
    const other = await startApp(CODE, { vars: VARS }, IMPORTS);
    try {
      const answer = await purge({ tag: "a" }, other);
      expect(answer).toMatchObject({ status: 501, title: "No cache here" });
      expect(answer.detail).toMatch(
        /^export \{ Cache \} from "turnpike\/cache" must be in the main module, and .*\["Cache"\].* in the migrations of wrangler.jsonc, got nothing$/,
      );
    } finally {
      await other.stop();
    }
  });

  it("without a token has no such call", async () => {
    const classes = `${IMPORTS} export { Cache } from ${CACHE};`;
    const other = await startApp(CODE, { vars: { DEADLINE: "10s" }, hasCache: true }, classes);
    try {
      expect(await purge({ tag: "a" }, other)).toMatchObject({ status: 404 });
    } finally {
      await other.stop();
    }
  });
});
