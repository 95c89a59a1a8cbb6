import type * as v from "valibot";
import { describe, expect, expectTypeOf, it } from "vitest";
import { MisuseError } from "../../src/limit/misuse.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { policySchema } from "../../src/limit/policy-schema.ts";

const VALID = { name: "default", limit: 10, window: "60s" };

const STATUS_RULE =
  'refusal.status must be a whole number from 400 to 599, and none of 401, 405, 407, 408, 421, 425, 426, or 302 or 303 beside "redirect"';
const BODY_RULE =
  "refusal.body must be text, or a table or list that is sent as JSON, of at most 16384 characters";
const REDIRECT_RULE =
  'refusal.redirect must be a path such as "/slow-down", or a URL such as "https://example.com/slow-down"';
const TYPE_RULE = 'refusal.type must be a media type such as "text/html"';

const REFUSALS: [object, string][] = [
  [{ refusal: 403 }, "refusal must be a table of status, body, type and redirect, got 403"],
  [{ refusal: [] }, "refusal must be a table of status, body, type and redirect, got []"],
  [{ refusal: { code: 403 } }, "refusal.code is not a known field, got 403"],
  ...[200, 301, 307, 399, 401, 405, 407, 408, 421, 425, 426, 600, 429.5, "429", Number.NaN].map(
    (status): [object, string] => [
      { refusal: { status } },
      `${STATUS_RULE}, got ${typeof status === "string" ? `"${status}"` : status}`,
    ],
  ),
  [{ refusal: { status: 303 } }, `${STATUS_RULE}, got 303`],
  [{ refusal: { status: 403, redirect: "/" } }, `${STATUS_RULE}, got 403`],
  [{ refusal: { body: 5 } }, `${BODY_RULE}, got 5`],
  [{ refusal: { body: { toJSON: () => undefined } } }, `${BODY_RULE}, got object`],
  [{ refusal: { body: "x".repeat(16_385) } }, `${BODY_RULE}, got "${"x".repeat(79)}…`],
  [{ refusal: { body: "", type: "html" } }, `${TYPE_RULE}, got "html"`],
  [
    { refusal: { body: "", type: "text/html; charset=latin1" } },
    `${TYPE_RULE}, got "text/html; charset=latin1"`,
  ],
  [{ refusal: { body: "", type: "text/html\r\nX: y" } }, `${TYPE_RULE}, got "text/html\\r\\nX: y"`],
  [{ refusal: { type: "text/html" } }, 'refusal.type must stand beside "body", got "text/html"'],
  [
    { refusal: { body: "", redirect: "/" } },
    'refusal.body must be left out beside "redirect", got ""',
  ],
  ...[
    "",
    "slow-down",
    "//evil.example",
    "/\\evil.example",
    "/..//evil.example",
    "/a/../..//evil.example",
    "/\t/evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "ftp://example.com/",
    "https:",
    "https:/example.com",
    "/a\r\nX: y",
    "/a\tb",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://exa mple.com/",
  ].map((redirect): [object, string] => [
    { refusal: { redirect } },
    `${REDIRECT_RULE}, got ${JSON.stringify(redirect)}`,
  ]),
];

const LENGTH_RULE = 'must be a duration from 1s to 366d such as "1m"';

const BLOCKS: [object, string][] = [
  [{ blockFor: 600 }, `blockFor ${LENGTH_RULE} (write "10m"), got 600`],
  [{ blockFor: "0s" }, `blockFor ${LENGTH_RULE}, got "0s"`],
  [{ blockFor: "367d" }, `blockFor ${LENGTH_RULE}, got "367d"`],
  [{ blockFor: null }, `blockFor ${LENGTH_RULE}, got null`],
  [{ blockFor: [] }, `blockFor ${LENGTH_RULE}, got []`],
  [{ blockFor: {} }, "blockFor.first is required, got nothing"],
  [{ blockFor: { first: "1m", last: "1d" } }, 'blockFor.last is not a known field, got "1d"'],
  [
    { blockFor: { first: "1m", max: "1y" } },
    `blockFor.max ${LENGTH_RULE} (write "365d"), got "1y"`,
  ],
  [
    { blockFor: { first: "2m", max: "1m" } },
    'blockFor.max must be at least as long as first, got "1m"',
  ],
  [
    { blockFor: "1m", maxWait: "1s" },
    'blockFor must be left out beside "maxWait" or "lease", got "1m"',
  ],
  [
    { blockFor: { first: "1m" }, lease: 0.1 },
    'blockFor must be left out beside "maxWait" or "lease", got {"first":"1m"}',
  ],
];

/** Lists in code may be read-only. */
type Writable<Value> = Value extends readonly (infer Item)[]
  ? Item[]
  : Value extends object
    ? { -readonly [Name in keyof Value]: Writable<Value[Name]> }
    : Value;

describe("policy", () => {
  it("takes exactly the fields that PolicyInput documents", () => {
    type Documented = { [Field in keyof PolicyInput]: Writable<PolicyInput[Field]> };
    expectTypeOf<Documented>().toEqualTypeOf<v.InferInput<typeof policySchema>>();
  });

  it("fills in the defaults", () => {
    expect(parsePolicy({ limit: 10, window: "60s" })).toEqual({
      name: "default",
      limit: 10,
      windowMs: 60_000,
      algorithm: "fixed-window",
      start: "aligned",
      burst: undefined,
      capacity: 10,
      key: ["ip"],
      path: "/*",
      except: [],
      cost: 1,
      charge: "always",
      mode: "before",
      aheadMethods: ["GET", "HEAD"],
      shadow: false,
      maxWaitMs: 0,
      allow: [],
      deny: [],
      durable: false,
      lease: 0,
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
    "/a%20b",
    "/Café/*",
    "*.css",
    "/files/*.tar.gz",
  ])("takes the path %s", (path) => {
    expect(parsePolicy({ ...VALID, path }).path).toBe(path);
  });

  it.each(["", "//", "*", "/a/../b", "/a%2fb", "/%2e", "/*.css/x", "/a*.css"])(
    "takes no path %s",
    (path) => {
      expect(() => parsePolicy({ ...VALID, path })).toThrow(
        `path must be a path pattern such as "/login", "/users/:id", "/assets/*" or "*.css", got "${path}"`,
      );
    },
  );

  it("counts a key with the address or its network in the nearest region", () => {
    for (const part of ["ip", "ip/32", "ip/48", "ip/56", "ip/99", "ip/119", "ip/128"]) {
      expect(parsePolicy({ ...VALID, key: ["path", part] }).scope).toBe("region");
    }
  });

  it.each(["ip/", "ip/24", "ip/31", "ip/129", "ip/048", "ip/48/64"])("takes no part %s", (part) => {
    expect(() => parsePolicy({ ...VALID, key: [part] })).toThrow('key[0] must be "ip", "ip/32" to');
  });

  it.each([
    [{ limit: -1 }, "limit must be a whole number from 0 to 1000000000, got -1"],
    [{ limit: Infinity }, "limit must be a whole number from 0 to 1000000000, got Infinity"],
    [{ limit: 1.5 }, "limit must be a whole number from 0 to 1000000000, got 1.5"],
    [{ limit: Number.NaN }, "limit must be a whole number from 0 to 1000000000, got NaN"],
    [{ limit: 1e99 }, "limit must be a whole number from 0 to 1000000000, got 1e+99"],
    [{ limit: "10" }, 'limit must be a whole number from 0 to 1000000000, got "10"'],
    [{ limit: undefined }, "limit must be a whole number from 0 to 1000000000, got nothing"],
    [{ window: "" }, 'window must be a duration from 1s to 366d such as "1m", got ""'],
    [
      { window: "10 parsecs" },
      'window must be a duration from 1s to 366d such as "1m", got "10 parsecs"',
    ],
    [{ window: 0 }, 'window must be a duration from 1s to 366d such as "1m", got 0'],
    [{ window: "0s" }, 'window must be a duration from 1s to 366d such as "1m", got "0s"'],
    [{ window: "367d" }, 'window must be a duration from 1s to 366d such as "1m", got "367d"'],
    [
      { algorithm: "magic" },
      'algorithm must be "fixed-window", "sliding-window", "sliding-log", "token-bucket", "leaky-bucket" or "concurrency", got "magic"',
    ],
    [
      { burst: 5 },
      'burst must be left out unless the algorithm is "token-bucket" or "leaky-bucket", got 5',
    ],
    [
      { algorithm: "sliding-log", limit: 10_001 },
      "limit must be at most 10000 with this algorithm and window, got 10001",
    ],
    [
      { algorithm: "concurrency", window: undefined },
      'window must be a duration from 1s to 366d such as "1m", got nothing',
    ],
    [
      { algorithm: "sliding-window", limit: 1_000_000, window: "366d" },
      "limit must be at most 71209 with this algorithm and window, got 1000000",
    ],
    [
      { algorithm: "token-bucket", burst: 1_000_000, window: "366d" },
      "burst must be at most 71209 with this algorithm and window, got 1000000",
    ],
    [
      { algorithm: "token-bucket", limit: 1, burst: 1_000, window: "1d" },
      "burst must be at most 366 with this limit and window, since an empty bucket must be full again within 366 days, got 1000",
    ],
    [
      { algorithm: "leaky-bucket", limit: 1, burst: 30, window: "30d" },
      "burst must be at most 11 with this limit and window, since an empty bucket must be full again within 366 days, got 30",
    ],
    [{ cost: 11 }, 'cost must be at most 10, the most that "default" lets pass at once, got 11'],
    [
      { algorithm: "token-bucket", burst: 5, cost: 6 },
      'cost must be at most 5, the most that "default" lets pass at once, got 6',
    ],
    [{ start: "now" }, 'start must be "aligned" or "first", got "now"'],
    [
      { start: "first", algorithm: "sliding-window" },
      'start must be left out unless the algorithm is "fixed-window", got "first"',
    ],
    [{ lease: 0.6 }, "lease must be a share of the limit from 0 to 0.5, got 0.6"],
    [
      { lease: 0.1, algorithm: "sliding-log" },
      'lease must be left out unless the algorithm is "fixed-window" and all is charged, got 0.1',
    ],
    [
      { charge: "maybe" },
      'charge must be "always", "failure", "success" or a list of statuses such as [401, 403], got "maybe"',
    ],
    [{ path: "/d/:a/x/:a" }, 'path must give each segment another name, got "/d/:a/x/:a"'],
    [{ refusal: { body: new Map() } }, `${BODY_RULE}, got {}`],
    [
      { charge: [] },
      'charge must be "always", "failure", "success" or a list of statuses such as [401, 403], got []',
    ],
    [{ charge: [401, 99] }, "charge[1] must be a whole number from 200 to 999, got 99"],
    [{ shadow: "yes" }, 'shadow must be true or false, got "yes"'],
    [{ maxWait: "31s" }, 'maxWait must be a duration from 0s to 30s such as "30s", got "31s"'],
    ...REFUSALS,
    ...BLOCKS,
    [
      { deny: ["10.0.0.0/33"] },
      'deny[0] must be an address or a network such as "192.0.2.7" or "2001:db8::/32", got "10.0.0.0/33"',
    ],
    [
      { allow: ["1.2.3.4", "localhost"] },
      'allow[1] must be an address or a network such as "192.0.2.7" or "2001:db8::/32", got "localhost"',
    ],
    [{ name: "" }, 'name must be 1 to 64 letters, digits, dots, dashes or underscores, got ""'],
    [
      { name: 'a"b' },
      'name must be 1 to 64 letters, digits, dots, dashes or underscores, got "a\\"b"',
    ],
    [
      { path: "login" },
      'path must be a path pattern such as "/login", "/users/:id", "/assets/*" or "*.css", got "login"',
    ],
    [
      { path: "/api*" },
      'path must be a path pattern such as "/login", "/users/:id", "/assets/*" or "*.css", got "/api*"',
    ],
    [
      { path: "/:id{[}" },
      'path must be a path pattern such as "/login", "/users/:id", "/assets/*" or "*.css", got "/:id{[}"',
    ],
    [
      { except: ["/assets/*", "assets"] },
      'except[1] must be a path pattern such as "/login", "/users/:id", "/assets/*" or "*.css", got "assets"',
    ],
    [
      { except: "/assets/*" },
      'except must be a list such as ["/assets/*", "*.css"], got "/assets/*"',
    ],
    [
      { path: "/users/:id", key: ["ip", "param:ID"] },
      'key[1] must name a ":name" of the path, which is "/users/:id", got "param:ID"',
    ],
    [
      { key: ["param:id"] },
      'key[0] must name a ":name" of the path, which is "/*", got "param:id"',
    ],
    [{ method: ["get"] }, 'method[0] must be a method in capitals such as "POST", got "get"'],
    [{ key: [] }, 'key must be a list such as ["ip"], got []'],
    [
      { key: ["ip", "shoe-size"] },
      'key[1] must be "ip", "ip/32" to "ip/128", "host", "path", "method", "country", "asn", "ja4", "bot", "param:NAME", "header:NAME", "cookie:NAME" or "query:NAME", got "shoe-size"',
    ],
    [
      { key: ["header:"] },
      'key[0] must be "ip", "ip/32" to "ip/128", "host", "path", "method", "country", "asn", "ja4", "bot", "param:NAME", "header:NAME", "cookie:NAME" or "query:NAME", got "header:"',
    ],
    [{ onFailure: "panic" }, 'onFailure must be "local", "allow" or "deny", got "panic"'],
    [{ scope: "galaxy" }, 'scope must be "region" or "global", got "galaxy"'],
    [
      { colour: 10 },
      `colour is not one of the fields ${Object.keys(policySchema.entries).join(", ")}, got 10`,
    ],
    [{ limits: 10 }, 'limits is not a known field (did you mean "limit"?), got 10'],
    // A mistyped name is told before the field that it leaves missing, and before other mistakes.
    [
      { window: undefined, windw: "1m" },
      'windw is not a known field (did you mean "window"?), got "1m"',
    ],
    [{ limit: -1, Bursts: 5 }, 'Bursts is not a known field (did you mean "burst"?), got 5'],
  ])("refuses %j", (change, message) => {
    expect(() => parsePolicy({ ...VALID, ...change })).toThrow(
      expect.objectContaining({ message }),
    );
  });

  it.each([
    [{}, { status: 429 }],
    [{ status: 503 }, { status: 503 }],
    [{ body: "No." }, { status: 429, body: { text: "No.", type: "text/plain; charset=utf-8" } }],
    [
      { status: 403, body: "<p>No.", type: "text/html" },
      { status: 403, body: { text: "<p>No.", type: "text/html; charset=utf-8" } },
    ],
    [
      { body: { error: { code: 7 } }, type: "application/vnd.api+json" },
      { status: 429, body: { text: '{"error":{"code":7}}', type: "application/vnd.api+json" } },
    ],
    [{ body: [1] }, { status: 429, body: { text: "[1]", type: "application/json" } }],
    [{ redirect: "/wait?a=1#b" }, { redirect: { status: 303, location: "/wait?a=1#b" } }],
    [{ redirect: "/wä it" }, { redirect: { status: 303, location: "/w%C3%A4%20it" } }],
    [
      { redirect: "https://status.example", status: 302 },
      { redirect: { status: 302, location: "https://status.example/" } },
    ],
  ])("reads the refusal %j", (refusal, read) => {
    expect(parsePolicy({ ...VALID, refusal }).refusal).toMatchObject(read);
  });

  it.each([
    ["10m", { firstMs: 600_000, maxMs: 86_400_000 }],
    ["7d", { firstMs: 604_800_000, maxMs: 604_800_000 }],
    [{ first: "1s" }, { firstMs: 1_000, maxMs: 86_400_000 }],
    [
      { first: "1m", max: "1m" },
      { firstMs: 60_000, maxMs: 60_000 },
    ],
  ])("reads the block %j", (blockFor, read) => {
    expect(parsePolicy({ ...VALID, blockFor }).blockFor).toEqual(read);
  });

  it("refuses a body that JSON cannot write", () => {
    const body: Record<string, unknown> = {};
    body.body = body;
    for (const each of [body, { a: 5n }]) {
      const refusing = () => parsePolicy({ ...VALID, refusal: { body: each } });
      expect(refusing).toThrow(`${BODY_RULE}, got object`);
    }
  });

  it("names a field that is missing", () => {
    expect(() => parsePolicy({ limit: 10 })).toThrow("window is required, got nothing");
    expect(() => parsePolicy(null)).toThrow("input must be a table of a policy's fields, got null");
    expect(() => parsePolicy([])).toThrow("input must be a table of a policy's fields, got []");
  });

  it("names the path of a field in a list", () => {
    const policies = [VALID, { ...VALID, name: "other", limit: -1 }];
    expect(() => parsePolicies(policies, "POLICIES")).toThrow(
      "POLICIES[1].limit must be a whole number from 0 to 1000000000, got -1",
    );
  });

  it("refuses two policies of one name", () => {
    expect(() => parsePolicies([VALID, VALID], "POLICIES")).toThrow(
      'POLICIES[1].name must be different for each policy: write another name in one of the two (without one it is "default"), got "default"',
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
