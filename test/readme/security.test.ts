/** Holds SECURITY.md to the tests that it names. */
import { describe, expect, it } from "vitest";
import security from "../../SECURITY.md?raw";

const tests = Object.keys(import.meta.glob("/test/**/*.test.ts")).map((path) => path.slice(1));

describe("SECURITY.md", () => {
  it("names tests that exist", () => {
    const named = [...security.matchAll(/`(test\/\S+\.test\.ts)`/g)].map(([, path]) => path);
    expect(named.length).toBeGreaterThan(10);
    expect(tests).toEqual(expect.arrayContaining(named));
  });

  it("is at most 120 lines long", () => {
    expect(security.trimEnd().split("\n").length).toBeLessThanOrEqual(120);
  });
});
