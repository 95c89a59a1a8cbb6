/** An app's own tests on Node 20, which lacks two functions that the limiter calls. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const { withResolvers } = Promise;
const { groupBy } = Map;

beforeAll(async () => {
  Reflect.deleteProperty(Promise, "withResolvers");
  Reflect.deleteProperty(Map, "groupBy");
  await import("../../src/testing/node-20.ts");
});

afterAll(() => {
  Promise.withResolvers = withResolvers;
  Map.groupBy = groupBy;
});

describe("on Node 20", () => {
  it("a promise has resolvers", async () => {
    expect(Promise.withResolvers).not.toBe(withResolvers);
    const kept = Promise.withResolvers<number>();
    kept.resolve(1);
    expect(await kept.promise).toBe(1);
    const failed = Promise.withResolvers<number>();
    failed.reject(new Error("no"));
    await expect(failed.promise).rejects.toThrow("no");
  });

  it("items are grouped as elsewhere", () => {
    const parity = (item: number, at: number) => (item + at) % 2;
    expect(Map.groupBy).not.toBe(groupBy);
    expect(Map.groupBy([1, 2, 4, 7, 7], parity)).toEqual(groupBy([1, 2, 4, 7, 7], parity));
  });

  it("an app counts by its responses, and blocks", async () => {
    const { Hono } = await import("hono");
    const { limiter, rateLimit } = await import("../../src/outside.ts");
    const { installTestKit } = await import("../../src/testing/index.ts");
    const kit = installTestKit();
    const failures = rateLimit({ name: "failures", limit: 1, window: "1m", charge: "failure" });
    const address = rateLimit({ name: "address", limit: 9, window: "1m" });
    const app = new Hono().get("/:status", failures, address, (c) =>
      c.text("", Number(c.req.param("status")) as 200),
    );
    const statuses: number[] = [];
    for (const status of ["200", "200", "401", "200"]) {
      statuses.push((await app.request(`/${status}`)).status);
    }
    expect(statuses).toEqual([200, 200, 401, 429]);
    const logins = limiter({ name: "logins", limit: 2, window: "1m" });
    await logins.block("user", "1m");
    expect((await logins.check("user")).allowed).toBe(false);
    await logins.reset("other");
    kit.uninstall();
  });
});
