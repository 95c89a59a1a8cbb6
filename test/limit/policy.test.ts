import { describe, expect, it } from "vitest";
import { MisuseError } from "../../src/limit/misuse.ts";
import { parsePolicies, parsePolicy } from "../../src/limit/policy.ts";

const VALID = { name: "default", limit: 10, window: "60s" };

describe("policy", () => {
  it("fills in the original's defaults", () => {
    expect(parsePolicy({ limit: 10, window: "60s" })).toEqual({
      name: "default",
      limit: 10,
      windowMs: 60_000,
      algorithm: "fixed-window",
      key: ["ip"],
      path: "/*",
      onFailure: "local",
      scope: "region",
    });
  });

  it.each([
    "/",
    "/*",
    "/login",
    "/login/",
    "/api/*",
    "/users/:id",
    "/v1/:a/b/*",
    "/v1/users:batch",
  ])("takes the path %s", (path) => {
    expect(parsePolicy({ ...VALID, path }).path).toBe(path);
  });

  it.each([
    [{ limit: -1 }, "limit must be a whole number from 1 to 1000000000, got -1"],
    [{ limit: 0 }, "limit must be a whole number from 1 to 1000000000, got 0"],
    [{ limit: 1.5 }, "limit must be a whole number from 1 to 1000000000, got 1.5"],
    [{ limit: Number.NaN }, "limit must be a whole number from 1 to 1000000000, got NaN"],
    [{ limit: 1e99 }, "limit must be a whole number from 1 to 1000000000, got 1e+99"],
    [{ limit: "10" }, 'limit must be a whole number from 1 to 1000000000, got "10"'],
    [{ limit: undefined }, "limit must be a whole number from 1 to 1000000000, got nothing"],
    [{ window: "" }, 'window must be a duration from 1s to 366d such as "60s", got ""'],
    [
      { window: "10 parsecs" },
      'window must be a duration from 1s to 366d such as "60s", got "10 parsecs"',
    ],
    [{ window: 0 }, 'window must be a duration from 1s to 366d such as "60s", got 0'],
    [{ window: "0s" }, 'window must be a duration from 1s to 366d such as "60s", got "0s"'],
    [{ window: "367d" }, 'window must be a duration from 1s to 366d such as "60s", got "367d"'],
    [{ algorithm: "magic" }, 'algorithm must be "fixed-window", got "magic"'],
    [{ name: "" }, 'name must be 1 to 64 letters, digits, dots, dashes or underscores, got ""'],
    [
      { name: 'a"b' },
      'name must be 1 to 64 letters, digits, dots, dashes or underscores, got "a\\"b"',
    ],
    [
      { path: "login" },
      'path must be a path pattern such as "/*", "/login" or "/users/:id", got "login"',
    ],
    [
      { path: "/api*" },
      'path must be a path pattern such as "/*", "/login" or "/users/:id", got "/api*"',
    ],
    [
      { path: "/:id{[}" },
      'path must be a path pattern such as "/*", "/login" or "/users/:id", got "/:id{[}"',
    ],
    [{ method: ["get"] }, 'method[0] must be a method in capitals such as "POST", got "get"'],
    [{ key: [] }, "key must name at least one part, got []"],
    [{ key: ["shoe-size"] }, 'key[0] must be "ip", got "shoe-size"'],
    [{ onFailure: "panic" }, 'onFailure must be "local", "allow" or "deny", got "panic"'],
    [{ scope: "galaxy" }, 'scope must be "region" or "global", got "galaxy"'],
    [{ limits: 10 }, "limits is no field that is known here, got 10"],
  ])("refuses %j", (change, message) => {
    expect(() => parsePolicy({ ...VALID, ...change })).toThrow(
      expect.objectContaining({ message }),
    );
  });

  it("names a field that is missing", () => {
    expect(() => parsePolicy({ limit: 10 })).toThrow("window is required, got nothing");
    expect(() => parsePolicy(null)).toThrow("input must be a table of a policy's fields, got null");
  });

  it("names the path of a field in a list", () => {
    const policies = [VALID, { ...VALID, name: "other", limit: -1 }];
    expect(() => parsePolicies(policies, "POLICIES")).toThrow(
      "POLICIES[1].limit must be a whole number from 1 to 1000000000, got -1",
    );
  });

  it("refuses two policies of one name", () => {
    expect(() => parsePolicies([VALID, VALID], "POLICIES")).toThrow(
      'POLICIES[1].name must be different for each policy, got "default"',
    );
  });

  it("refuses no policies", () => {
    for (const none of [[], {}, 5]) {
      expect(() => parsePolicies(none, "POLICIES")).toThrow(
        "POLICIES must be a list of at least one policy, got ",
      );
    }
  });

  it("throws a MisuseError that knows its field", () => {
    try {
      parsePolicies([{ ...VALID, window: "" }], "POLICIES");
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(MisuseError);
      expect(error).toMatchObject({ field: "POLICIES[0].window" });
    }
  });
});
