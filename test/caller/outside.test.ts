/**
 * What an app's module gets if it is imported outside a Worker. `testing/kit.test.ts` shows the
 * rest.
 */
import { expect, it } from "vitest";
import * as library from "../../src/index.ts";
import * as outside from "../../src/outside.ts";

it("has the library's names", () => {
  expect(Object.keys(outside).sort()).toEqual(Object.keys(library).sort());
});

it("says where objects live", () => {
  for (const Class of [outside.RateLimiter, outside.Membership, outside.Turnpike]) {
    expect(() => new Class()).toThrow("turnpike's objects live in a Cloudflare Worker only");
  }
});

it("says in an Express app whose middleware it is", async () => {
  const limit = outside.rateLimit({ limit: 1, window: "1m" });
  // Express calls it with its own request and response.
  const called = limit({ url: "/", headers: {} } as never, (() => {}) as never);
  await expect(called).rejects.toThrow("a middleware for Hono");
});
