import { describe, expect, it } from "vitest";
import { parseConfig } from "../src/config.ts";
import { parseLimiterConfig } from "../src/limiter-config.ts";

describe("config", () => {
  it("has the original's defaults", () => {
    expect(parseConfig({})).toMatchObject({
      origin: "",
      ownersPerRegion: 4,
      minOwners: 4,
      maxOwners: 16,
      highWater: 400,
      homeRegion: "weur",
      deadlineMs: 250,
      ipv6Prefix: 64,
      ipHeader: "CF-Connecting-IP",
      tokens: [],
      policies: [{ name: "default", limit: 10, windowMs: 60_000, algorithm: "fixed-window" }],
    });
  });

  it("reads policies from JSON text and numbers from text, as they come from a command line", () => {
    const policies = '[{"name":"a","limit":3,"window":"1d"}]';
    expect(parseConfig({ POLICIES: policies, OWNERS: "7" })).toMatchObject({
      ownersPerRegion: 7,
      policies: [{ name: "a", limit: 3, windowMs: 86_400_000 }],
    });
  });

  it.each([
    ["0.01", 0.01],
    [".5", 0.5],
    ["1e-3", 0.001],
  ])("reads the share of denials that are logged from text: %s", (text, loggedDenials) => {
    expect(parseConfig({ LOG_DENIALS: text })).toMatchObject({ loggedDenials });
  });

  it("does not mind variables and bindings that are not its own", () => {
    expect(() => parseConfig({ MY_KV: {}, SOME_VAR: "x" })).not.toThrow();
    expect(() => parseLimiterConfig({ ORIGIN: "cors.example", TOKEN: "any word" })).not.toThrow();
  });

  it.each([
    [
      { ORIGIN: "example.com" },
      'ORIGIN must be a URL such as "https://example.com" or "https://example.com/path", "zone", or "", got "example.com"',
    ],
    [
      { ORIGIN: "ftp://x.y" },
      'ORIGIN must be a URL such as "https://example.com" or "https://example.com/path", "zone", or "", got "ftp://x.y"',
    ],
    [
      { ORIGIN: "https://u:p@x.y/?q=1" },
      'ORIGIN must be a URL such as "https://example.com" or "https://example.com/path", "zone", or "", got "https://u:p@x.y/?q=1"',
    ],
    [
      { QUOTA_ORIGINS: ["https://a.example/"] },
      'QUOTA_ORIGINS[0] must be an origin such as "https://app.example.com", got "https://a.example/"',
    ],
    [
      { QUOTA_ORIGINS: ["*"] },
      'QUOTA_ORIGINS[0] must be an origin such as "https://app.example.com", got "*"',
    ],
    [{ OWNERS_MIN: 5 }, "OWNERS_MIN must be at most OWNERS, 4, got 5"],
    [{ OWNERS: 9, OWNERS_MAX: 8 }, "OWNERS_MAX must be at least OWNERS, 9, got 8"],
    [{ HIGH_WATER: -1 }, "HIGH_WATER must be a whole number from 0 to 1000000, got -1"],
    [{ OWNERS: 0 }, "OWNERS must be a whole number from 1 to 256, got 0"],
    [{ OWNERS: "many" }, 'OWNERS must be a whole number from 1 to 256, got "many"'],
    [{ OWNERS: 1.5 }, "OWNERS must be a whole number from 1 to 256, got 1.5"],
    ...["many", " ", "0x1", "2"].map((LOG_DENIALS): [object, string] => [
      { LOG_DENIALS },
      `LOG_DENIALS must be a number from 0 to 1, got "${LOG_DENIALS}"`.replace('"2"', "2"),
    ]),
    [{ IPV6_PREFIX: 16 }, "IPV6_PREFIX must be a whole number from 32 to 128, got 16"],
    [{ DEADLINE: "1m" }, 'DEADLINE must be a duration from 1ms to 10s such as "10s", got "1m"'],
    [
      { HOME_REGION: "moon" },
      'HOME_REGION must be "wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr" or "me", got "moon"',
    ],
    [{ POLICIES: "[" }, 'POLICIES must be a list, or a list as JSON text, got "["'],
    [{ POLICIES: [] }, "POLICIES must be a list of at least one policy, got []"],
    [
      { POLICIES: [{ limit: -1, window: "60s" }] },
      "POLICIES[0].limit must be a whole number from 0 to 1000000000, got -1",
    ],
  ])("refuses %j", (env, message) => {
    expect(() => parseConfig(env)).toThrow(expect.objectContaining({ message }));
  });

  it("names the field of a value that JSON has no words for", () => {
    const round: unknown[] = [1n];
    round.push(round);
    for (const [value, shown] of [
      [round, "object"],
      [[{ id: 1n }], "object"],
      [7n, "7"],
      [Number.NaN, "NaN"],
      [parseConfig, "function"],
    ]) {
      expect(() => parseConfig({ OWNERS: value })).toThrow(
        `OWNERS must be a whole number from 1 to 256, got ${shown}`,
      );
    }
  });

  it("reads tokens with their scopes", () => {
    expect(parseConfig({ TOKEN: "dev" }).tokens).toEqual([{ scope: "admin", secret: "dev" }]);
    expect(parseConfig({ TOKEN: " check:a\tadmin:b/+~.-_==\nc " }).tokens).toEqual([
      { scope: "check", secret: "a" },
      { scope: "admin", secret: "b/+~.-_==" },
      { scope: "admin", secret: "c" },
    ]);
    for (const TOKEN of [undefined, "", " \n"]) expect(parseConfig({ TOKEN }).tokens).toEqual([]);
  });

  it.each([
    { TOKEN: "päss-12345" },
    { TOKEN: "fine write:12345" },
    { TOKEN: "check:" },
    { TOKEN: "check:admin:12345" },
    { TOKEN: "check:12345 admin:12345" },
    { TOKEN: ["12345"] },
    { HASH_SECRET: 12345 },
  ])("does not print a secret that it refuses: %j", (env) => {
    const [name] = Object.keys(env);
    const shape =
      /^MisuseError: \w+ must (?:be text|be tokens of .*|not name one token twice), got "a value that is not shown"$/;
    expect(() => parseConfig(env)).toThrow(expect.objectContaining({ field: name }));
    try {
      parseConfig(env);
    } catch (error) {
      expect(String(error)).toMatch(shape);
    }
  });
});
