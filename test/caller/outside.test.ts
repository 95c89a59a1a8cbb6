/** What an app's module meets that is imported outside a Worker. */
import { expect, it } from "vitest";
import * as library from "../../src/index.ts";
import * as outside from "../../src/outside.ts";

const RULE = "turnpike counts in a Cloudflare Worker only";

it("has the library's names", () => {
  expect(Object.keys(outside).sort()).toEqual(Object.keys(library).sort());
});

it("makes limiters with the library's methods", () => {
  const options = { name: "outside", limit: 1, window: "1m" };
  const names = Object.keys(library.limiter(options)).sort();
  expect(Object.keys(outside.limiter(options)).sort()).toEqual(names);
});

it("says where it counts, once it is to count", async () => {
  await expect(outside.limiter({ limit: 1, window: "1m" }).check("a")).rejects.toThrow(RULE);
  for (const Class of [outside.RateLimiter, outside.Membership, outside.Turnpike]) {
    expect(() => new Class()).toThrow(RULE);
  }
});
