/** What is refused as a Worker starts, where each limiter is made once, and not in its requests. */
import { describe, expect, it } from "vitest";
import { startApp } from "../app-server.ts";

const COMMON = `
  const ok = (c) => c.text("ok");
  const options = { limit: 1, window: "366d", key: () => "k" };`;

/** Runs an app, and returns the statuses of requests to its paths. */
async function statusesOf(code: string, ...paths: string[]): Promise<number[]> {
  const server = await startApp(COMMON + code);
  try {
    const statuses: number[] = [];
    for (const path of paths) {
      const response = await fetch(new URL(path, server.url));
      await response.arrayBuffer();
      statuses.push(response.status);
    }
    return statuses;
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
      'name must be different for each policy, got "plan"',
    ],
    [
      "with one name and different limits",
      `limiter({ name: "x", limit: 1, window: "1h" });
       limiter({ name: "x", limit: 2, window: "1h" });`,
      'name must be different for each policy, got "x"',
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
  it("is one limiter, with functions of its own and without a name, too", async () => {
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
