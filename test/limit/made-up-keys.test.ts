import { describe, expect, it } from "vitest";
import { unboundedPolicies } from "../../src/limit/made-up-keys.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

function unbounded(...policies: object[]): string[] {
  const parsed = policies.map((policy, at) =>
    parsePolicy({ name: `p${at}`, limit: 1, window: "1m", ...policy }),
  );
  return unboundedPolicies(parsed).map(({ name }) => name);
}

const API_KEY = { key: ["header:X-Api-Key"], path: "/api/*" };

describe("a policy whose key clients can make up", () => {
  it.each([
    ["header:X-Api-Key"],
    ["cookie:session"],
    ["query:key"],
    ["ja4"],
    // Each made-up value has a quota of its own for the address, too.
    ["ip", "header:X-Api-Key"],
    ["asn", "cookie:session"],
  ])("is no limit by itself: %j", (...key) => {
    expect(unbounded({ key })).toEqual(["p0"]);
  });

  it.each([["ip"], ["ip/48"], ["bot"], ["host"], ["ip", "method"], ["country"]])(
    "is a limit with another policy beside it: %j",
    (...key) => {
      expect(unbounded(API_KEY, { key })).toEqual([]);
      expect(unbounded({ key })).toEqual([]);
    },
  );

  it.each([{ path: "/api/*" }, { path: "/*", method: ["GET", "POST"] }])(
    "is a limit with another policy on the same requests: %j",
    (bound) => {
      expect(unbounded({ ...API_KEY, method: ["POST"] }, bound)).toEqual([]);
    },
  );

  it.each([
    ["*.pdf", "/*"],
    ["*.pdf", "*.pdf"],
    ["/files/*.pdf", "*.pdf"],
    ["/a.pdf", "*.pdf"],
    ["/files/*.pdf", "/files/*"],
    ["/", "/*"],
  ])("on %s is a limit beside one on %s", (path, bound) => {
    expect(unbounded({ key: ["cookie:session"], path }, { path: bound })).toEqual([]);
  });

  it.each([
    ["*.pdf", "/files/*"],
    ["*.pdf", "/files/*.pdf"],
    ["/files/*.pdf", "*.gz"],
    ["/*", "*.pdf"],
    ["/api/*", "/*.pdf"],
  ])("on %s is no limit beside one on %s", (path, bound) => {
    expect(unbounded({ key: ["cookie:session"], path }, { path: bound })).toEqual(["p0"]);
  });

  it.each([
    { path: "/other/*" },
    { path: "/api/x" },
    { path: "/ap/*" },
    { method: ["POST"] },
    { shadow: true },
    { except: ["/api/x"] },
    { key: ["path"] },
    { key: ["ip", "path"] },
    { key: ["cookie:session"] },
  ])("is no limit beside a policy that does not bound each of its requests: %j", (bound) => {
    expect(unbounded(API_KEY, bound)).toContain("p0");
  });
});
