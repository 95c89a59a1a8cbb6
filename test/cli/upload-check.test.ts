import { describe, expect, it } from "vitest";
import type { UploadedBinding } from "../../src/cli/upload.ts";
import { checkUpload } from "../../src/cli/upload-check.ts";

function object(name: string, class_name: string): UploadedBinding {
  return { name, type: "durable_object_namespace", class_name };
}

const BOUND = [
  object("TURNPIKE_OWNERS", "RateLimiter"),
  object("TURNPIKE_MEMBERSHIP", "Membership"),
];
const GOOD = {
  bindings: BOUND,
  compatibilityDate: "2026-10-23",
  compatibilityFlags: ["enable_request_signal"],
  keptTypes: ["secret_text"],
};

describe("an upload", () => {
  it("passes with its own bindings, of its own Worker or of another, or without membership", () => {
    const elsewhere = BOUND.map((bound) => ({ ...bound, script_name: "limits" }));
    const more = [
      ...BOUND,
      object("TURNPIKE_EVENTS", "Events"),
      object("RATE_LIMITER", "SomebodyElses"),
      { name: "TURNPIKE_ANALYTICS", type: "analytics_engine" },
      { name: "ORIGIN_SERVICE", type: "service" },
      { name: "KV", type: "kv" },
    ];
    for (const bindings of [BOUND, BOUND.slice(0, 1), elsewhere, more]) {
      expect(checkUpload({ ...GOOD, bindings })).toEqual([]);
    }
  });

  it.each(["TOKEN", "HASH_SECRET"])("has a note if %s is no secret", (name) => {
    const text = "a-long-token";
    const plain = [...BOUND, { name, type: "plain_text", text }];
    expect(checkUpload({ ...GOOD, bindings: plain })).toEqual([
      expect.stringContaining(`write npx wrangler secret put ${name}`),
    ]);
    const secret = [...BOUND, { name, type: "secret_text", text }];
    expect(checkUpload({ ...GOOD, bindings: secret })).toEqual([]);
  });

  it.each([
    ...["http://localhost:3000", "http://127.0.0.1", "http://[::1]:80/app", "http://web:8080"],
    ...["http://192.168.1.5", "http://[fd00::1]", "http://host.docker.internal", "http://0.0.0.0"],
  ])("does not pass with ORIGIN %s, which Cloudflare does not reach", (text) => {
    const bindings = [...BOUND, { name: "ORIGIN", type: "plain_text", text }];
    expect(() => checkUpload({ ...GOOD, bindings })).toThrow(
      "ORIGIN must be an address that Cloudflare reaches",
    );
    for (const reached of ["zone", "https://192.0.2.7", "https://local.example", "http://a.b"]) {
      const other = [...BOUND, { name: "ORIGIN", type: "plain_text", text: reached }];
      expect(checkUpload({ ...GOOD, bindings: other })).toEqual([]);
    }
  });

  it.each([
    ["ORIGIN=https", "//x.example", "--var ORIGIN:https://x.example,"],
    ["OWNERS=4", "", "--var OWNERS:4,"],
    ["IP_HEADER=a=b", "", "--var IP_HEADER:a=b,"],
  ])("says how to write %s", (name, text, advice) => {
    const bindings = [...BOUND, { name, type: "plain_text", text }];
    expect(() => checkUpload({ ...GOOD, bindings })).toThrow(`write ${advice}`);
  });

  const owners =
    "TURNPIKE_OWNERS must be a Durable Object binding with the class_name RateLimiter, got ";
  const membership =
    "TURNPIKE_MEMBERSHIP must be a Durable Object binding with the class_name Membership, got ";

  it.each<[UploadedBinding[], string]>([
    [[], `${owners}nothing`],
    [[{ name: "TURNPIKE_OWNERS", type: "kv_namespace" }], `${owners}"kv_namespace"`],
    [[{ name: "TURNPIKE_OWNERS", type: "service" }], `${owners}"service"`],
    [[{ name: "TURNPIKE_OWNERS", type: "ratelimit" }], `${owners}"ratelimit"`],
    [
      [...BOUND, { name: "TURNPIKE_OWNERS", type: "plain_text", text: "x" }],
      `${owners}"plain_text"`,
    ],
    [[object("TURNPIKE_OWNERS", "Membership")], `${owners}"Membership"`],
    [[object("TURNPIKE_OWNERS", "ChatRoom")], `${owners}"ChatRoom"`],
    [
      [...BOUND.slice(0, 1), object("TURNPIKE_MEMBERSHIP", "RateLimiter")],
      `${membership}"RateLimiter"`,
    ],
    [
      [...BOUND.slice(0, 1), { name: "TURNPIKE_MEMBERSHIP", type: "r2_bucket" }],
      `${membership}"r2_bucket"`,
    ],
    [
      [object("RATE_LIMITER", "RateLimiter")],
      "TURNPIKE_OWNERS is the new name of RATE_LIMITER: rename it",
    ],
    [
      [...BOUND.slice(0, 1), object("MEMBERSHIP", "Membership")],
      "TURNPIKE_MEMBERSHIP is the new name of MEMBERSHIP: rename it",
    ],
    [
      [...BOUND, object("TURNPIKE_EVENTS", "RateLimiter")],
      'TURNPIKE_EVENTS must be a Durable Object binding with the class_name Events, got "RateLimiter"',
    ],
    [
      [...BOUND, { name: "TURNPIKE_ANALYTICS", type: "kv_namespace" }],
      'TURNPIKE_ANALYTICS must be a dataset of Analytics Engine, got "kv_namespace"',
    ],
    [
      [...BOUND, { name: "ORIGIN_SERVICE", type: "plain_text", text: "https://a.example" }],
      'ORIGIN_SERVICE must be a service binding, got "plain_text"',
    ],
    [[...BOUND, { name: "OWNERS", type: "json", json: 0 }], "OWNERS must be a whole number from 1"],
    [[...BOUND, { name: "TOKEN", type: "secret_text", text: "ä" }], "TOKEN must be tokens"],
  ])("with %j is refused", (bindings, message) => {
    expect(() => checkUpload({ ...GOOD, bindings })).toThrow(message);
  });

  it("needs a compatibility date with calls to objects, or the flag", () => {
    const early = { ...GOOD, compatibilityDate: "2024-04-02" };
    expect(() => checkUpload(early)).toThrow(
      'compatibility_date must be 2024-04-03 or later, or compatibility_flags must have "rpc", got "2024-04-02"',
    );
    const compatibilityFlags = ["rpc", "enable_request_signal"];
    expect(checkUpload({ ...early, compatibilityFlags })).toEqual([]);
    expect(checkUpload({ ...GOOD, compatibilityDate: "2024-04-03" })).toEqual([]);
  });

  it("without enable_request_signal is worth a note", () => {
    expect(checkUpload({ ...GOOD, compatibilityFlags: [] })).toEqual([
      expect.stringContaining('compatibility_flags = ["enable_request_signal"]'),
    ]);
  });

  it("with a variable that is not read is worth a note, which shows no value", () => {
    const bindings = [...BOUND, { name: "POLICES", type: "secret_text", text: "s3cr3t" }];
    const [note, ...others] = checkUpload({ ...GOOD, bindings });
    expect(note).toMatch(/^POLICES is no variable of Turnpike, which are ORIGIN, .*POLICIES/);
    expect(note).not.toContain("s3cr3t");
    expect(others).toEqual([]);
  });

  it("with a policy that made-up keys get past is worth a note that says what to write", () => {
    const day = { name: "day", limit: 10, window: "1d", key: ["header:X-Api-Key"] };
    const notesOn = (...policies: object[]) => {
      const bindings = [...BOUND, { name: "POLICIES", type: "json", json: policies }];
      return checkUpload({ ...GOOD, bindings });
    };
    expect(notesOn(day)).toEqual([
      'policy "day" is no limit by itself: of key = ["header:X-Api-Key"] clients make up new values, each with a new quota; add a policy with key = ["ip"] for the same path',
    ]);
    expect(notesOn(day, { limit: 600, window: "1m" })).toEqual([]);
  });
});
