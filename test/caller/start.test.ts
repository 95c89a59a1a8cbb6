/** What is refused while a Worker starts, when each limiter is made once, but not in requests. */
import { describe, expect, it } from "vitest";
import { startApp } from "../app-server.ts";
import type { WorkerdOptions } from "../bench/workerd-server.ts";

const COMMON = `
  const ok = (c) => c.text("ok");
  const options = { limit: 1, window: "366d", key: () => "k" };`;

/** Runs an app, and returns the statuses of requests to its paths. */
async function statusesOf(code: string, ...paths: string[]): Promise<number[]> {
  const answers = await answersOf(code, {}, ...paths);
  return answers.map(({ status }) => status);
}

/** Runs an app, and returns the statuses and bodies of requests to its paths. */
async function answersOf(code: string, options: Partial<WorkerdOptions>, ...paths: string[]) {
  const server = await startApp(COMMON + code, options);
  try {
    const answers: { status: number; text: string }[] = [];
    for (const path of paths) {
      const response = await fetch(new URL(path, server.url));
      answers.push({ status: response.status, text: await response.text() });
    }
    return answers;
  } finally {
    await server.stop();
  }
}

describe("two limiters made at start", () => {
  it.each([
    [
      "without names",
      `app.get("/a", rateLimit({ limit: 1, window: "1h" }), ok);
       app.get("/b", rateLimit({ limit: 1, window: "1h" }), ok);`,
      "name must be given to tell two limiters apart, got nothing",
    ],
    [
      "with one name and functions of the same text",
      `const plan = (units) => rateLimit({ name: "plan", window: "1h", limit: () => units });
       app.get("/free", plan(2), ok);
       app.get("/paid", plan(1000), ok);`,
      'name must be different for each policy: write another name in one of the two (without one it is "default"), got "plan"',
    ],
    [
      "with one name and different limits",
      `limiter({ name: "x", limit: 1, window: "1h" });
       limiter({ name: "x", limit: 2, window: "1h" });`,
      'name must be different for each policy: write another name in one of the two (without one it is "default"), got "x"',
    ],
  ])("%s are refused", async (_, code, message) => {
    await expect(statusesOf(code)).rejects.toThrow(message);
  });

  it("with one name and the same options and functions share a counter", async () => {
    const code = `
      app.get("/a", rateLimit({ name: "both", ...options }), ok);
      app.get("/b", rateLimit({ name: "both", ...options }), ok);`;
    expect(await statusesOf(code, "/a", "/b")).toEqual([200, 429]);
  });
});

describe("a limiter made in each request", () => {
  it("is the same limiter each time, even with new functions and without a name", async () => {
    const code = `
      app.use("/a", (c, next) => rateLimit({ limit: 2, window: "366d", key: () => "k" })(c, next));
      app.use("/b", (c, next) =>
        rateLimit({ name: "b", limit: () => 2, window: "366d", key: (c) => c.req.path })(c, next));
      app.get("*", ok);`;
    expect(await statusesOf(code, "/a", "/a", "/a", "/b", "/b", "/b")).toEqual([
      200, 200, 429, 200, 200, 429,
    ]);
  });

  it("may have the functions of one made at start", async () => {
    const code = `
      const make = () => rateLimit({ name: "c", limit: 2, window: "366d", key: () => "k" });
      app.get("/start", make(), ok);
      app.use("/each", (c, next) => make()(c, next));
      app.get("/each", ok);`;
    expect(await statusesOf(code, "/start", "/each", "/each")).toEqual([200, 200, 429]);
  });
});

describe("an app that binds nothing", () => {
  const ONE = `
    app.onError((error, c) => c.text(error.message, 500));
    app.use(rateLimit({ ...options, name: "one" }));
    app.get("*", (c) => c.text(c.var.decision.source));`;
  const MEND =
    'export { RateLimiter } from "turnpike" must be in the main module, and { "tag": "v1", "new_sqlite_classes": ["RateLimiter"] } (or the next free tag) in the migrations of wrangler.jsonc';
  const BINDING =
    "TURNPIKE_OWNERS must be a Durable Object binding with the class_name RateLimiter before compatibility_date 2025-11-17; ";

  it("counts by the classes that it exports", async () => {
    const [first, second] = await answersOf(ONE, { hasMembership: true, isBound: false }, "/", "/");
    expect(first).toEqual({ status: 200, text: "owner" });
    expect(second?.status).toBe(429);
  });

  it("counts by the one class that has storage", async () => {
    const [first, second] = await answersOf(ONE, { isBound: false }, "/", "/");
    expect(first).toEqual({ status: 200, text: "owner" });
    expect(second?.status).toBe(429);
  });

  it("gets an error that says what to write, if no class has storage", async () => {
    const answers = await answersOf(ONE, { hasObjects: false }, "/");
    expect(answers).toEqual([{ status: 500, text: `${MEND}, got nothing` }]);
  });

  it("gets it at its start, beginning with the binding, under a compatibility date without exports", async () => {
    const options = { isBound: false, compatibilityDate: "2025-11-16" };
    await expect(answersOf(ONE, options, "/")).rejects.toThrow(`${BINDING}${MEND}, got nothing`);
  });
});
