import { describe, expect, it } from "vitest";
import { forgotten } from "../../src/cli/forgotten.ts";
import { bindingsAfter, type UploadedBinding } from "../../src/cli/upload.ts";

const OWNERS = { name: "TURNPIKE_OWNERS", type: "durable_object_namespace" };
const MEMBERSHIP = { name: "TURNPIKE_MEMBERSHIP", type: "durable_object_namespace" };
const BOUND = [
  { ...OWNERS, class_name: "RateLimiter" },
  { ...MEMBERSHIP, class_name: "Membership" },
];
const DAY = { name: "day", limit: 9, window: "1d", key: ["header:X-Api-Key"] };
const SITE = { name: "site", limit: 9, window: "1m" };

function variables(values: object): UploadedBinding[] {
  return Object.entries({ POLICIES: [SITE, DAY], ...values }).map(([name, json]) =>
    typeof json === "string"
      ? { name, type: "plain_text", text: json }
      : { name, type: "json", json },
  );
}

const secret = { name: "HASH_SECRET", type: "secret_text" };

describe("a deployment", () => {
  it.each<[string, object, object]>([
    ["nothing", {}, {}],
    [
      "limits",
      {},
      {
        POLICIES: [
          { ...SITE, limit: 5, burst: undefined },
          { ...DAY, limit: 1 },
        ],
      },
    ],
    ["the order and what only decides", {}, { POLICIES: [DAY, { ...SITE, shadow: true }] }],
    ["a policy more", {}, { POLICIES: [SITE, DAY, { ...DAY, name: "new" }] }],
    ["the same window in another unit", {}, { POLICIES: [{ ...SITE, window: "60s" }, DAY] }],
    ["what rings grow to", { OWNERS: 4 }, { OWNERS: 5, OWNERS_MAX: 20, HIGH_WATER: 100 }],
    ["its origin", { ORIGIN: "" }, { ORIGIN: "https://example.com" }],
  ])("that changes %s forgets nothing", (_, before, after) => {
    expect(forgotten([...BOUND, ...variables(before)], [...BOUND, ...variables(after)])).toEqual(
      [],
    );
  });

  it.each<[object, object, string[]]>([
    [
      {},
      { HOME_REGION: "enam" },
      ['HOME_REGION changes from weur to enam: counts of "day" and of the API begin anew'],
    ],
    [
      {},
      { IPV6_PREFIX: 56 },
      ["IPV6_PREFIX changes from 64 to 56: IPv6 keys with an address begin anew"],
    ],
    [
      {},
      { IP_HEADER: "X-Real-IP" },
      ["IP_HEADER changes from CF-Connecting-IP to X-Real-IP: keys with an address begin anew"],
    ],
    [
      {},
      {
        POLICIES: [
          { ...SITE, window: "1h" },
          { ...DAY, algorithm: "sliding-log" },
        ],
      },
      [
        'window of policy "site" changes from 1m to 1h: its counts begin anew',
        'algorithm of policy "day" changes from fixed-window to sliding-log: its counts begin anew',
      ],
    ],
    [
      {},
      {
        POLICIES: [
          { ...SITE, key: ["ip", "path"] },
          { ...DAY, scope: "region" },
        ],
      },
      [
        'key of policy "site" changes from ip to ip + path: its counts begin anew',
        'scope of policy "day" changes from global to region: its counts begin anew',
      ],
    ],
    [
      {},
      { POLICIES: [{ ...SITE, name: "all" }, DAY] },
      ['policy "site" is gone, or has another name: so are its counts'],
    ],
    [{}, { HASH_SECRET: "x" }, ["HASH_SECRET changes: all counts and blocks begin anew"]],
    [{ HASH_SECRET: "x" }, {}, ["HASH_SECRET changes: all counts and blocks begin anew"]],
    [
      { HASH_SECRET: "x" },
      { HASH_SECRET: "y" },
      ["HASH_SECRET changes: all counts and blocks begin anew"],
    ],
    [{ HASH_SECRET: "x" }, { HASH_SECRET: "x" }, []],
  ])("from %j to %j says what it forgets", (before, after, told) => {
    expect(forgotten([...BOUND, ...variables(before)], [...BOUND, ...variables(after)])).toEqual(
      told,
    );
  });

  it("keeps a secret that it does not upload, and says so of one that it does", () => {
    const before = [...BOUND, secret, ...variables({})];
    const upload = (bindings: UploadedBinding[], keptTypes: string[]) => {
      const compatibility = { compatibilityDate: "2026-10-23", compatibilityFlags: [] };
      return bindingsAfter({ worker: "x", bindings, keptTypes, ...compatibility }, before);
    };
    const bindings = [...BOUND, ...variables({})];
    expect(forgotten(before, upload(bindings, ["secret_text"]))).toEqual([]);
    expect(forgotten(before, upload(bindings, []))).toEqual([
      "HASH_SECRET changes: all counts and blocks begin anew",
    ]);
    const another = { ...secret, text: "x" };
    expect(forgotten(before, upload([...bindings, another], ["secret_text"]))).toEqual([
      "HASH_SECRET is uploaded, unless it is the same: all counts and blocks begin anew",
    ]);
  });

  it("keeps variables that it does not upload, if it is told to", () => {
    const deployed = [...BOUND, ...variables({ HOME_REGION: "oc" })];
    const compatibility = { compatibilityDate: "2026-10-23", compatibilityFlags: [] };
    const upload = { worker: "x", bindings: BOUND, keptTypes: ["plain_text", "json"] };
    const next = bindingsAfter({ ...upload, ...compatibility }, deployed);
    expect(forgotten(deployed, next)).toEqual([]);
    expect(forgotten(deployed, BOUND)).toHaveLength(3);
  });

  it("forgets nothing of policies while others are live, and says that they end at another home", () => {
    const [before, after] = [{ HOME_REGION: "weur" }, { HOME_REGION: "oc" }].map((more, at) => [
      ...BOUND,
      ...variables({ ...more, POLICIES: [{ name: `policy-${at}`, limit: 1, window: "1m" }] }),
    ]) as [UploadedBinding[], UploadedBinding[]];
    expect(forgotten(before, after)).toHaveLength(2);
    expect(forgotten(before, after, true)).toEqual([
      expect.stringMatching(/HOME_REGION .* live policies end unless that region counts already$/),
    ]);
  });

  it("of more owners forgets keys where no membership object moves them", () => {
    const [owners] = BOUND as [UploadedBinding, UploadedBinding];
    const before = variables({ OWNERS: 4 });
    const after = variables({ OWNERS: 5 });
    expect(forgotten([owners, ...before], [owners, ...after])).toEqual([
      "OWNERS changes from 4 to 5: keys whose owner is another one begin anew",
    ]);
    expect(forgotten([...BOUND, ...before], [owners, ...before])).toEqual([
      "TURNPIKE_MEMBERSHIP changes from Membership to nothing: rings are as at first, and keys whose owner is another one begin anew",
    ]);
    expect(forgotten([owners, ...before], [...BOUND, ...before])).toEqual([]);
  });

  it("that renames bindings forgets nothing, one that binds other objects all", () => {
    const former = [
      { ...OWNERS, name: "RATE_LIMITER", class_name: "RateLimiter" },
      { ...MEMBERSHIP, name: "MEMBERSHIP", class_name: "Membership" },
    ];
    const moved = BOUND.map((bound) => ({ ...bound, script_name: "limits" }));
    const vars = variables({});
    expect(forgotten([...former, ...vars], [...BOUND, ...vars])).toEqual([]);
    expect(forgotten([...BOUND, ...vars], [...moved, ...vars])[0]).toBe(
      "TURNPIKE_OWNERS changes from RateLimiter to limits/RateLimiter: all counts and blocks begin anew",
    );
  });

  it("over another Worker, or one that was configured in a way that is refused now, says nothing", () => {
    const after = [...BOUND, ...variables({ HOME_REGION: "enam" })];
    expect(forgotten([], after)).toEqual([]);
    expect(forgotten(variables({}), after)).toEqual([]);
    expect(forgotten([...BOUND, ...variables({ POLICIES: [{}] })], after)).toEqual([]);
  });
});
