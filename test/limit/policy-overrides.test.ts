/** Other limits that the configuration gives some keys. */
import { describe, expect, it } from "vitest";
import { parsePolicies } from "../../src/limit/policies.ts";
import { type Policy, parsePolicy } from "../../src/limit/policy.ts";
import { policyFor } from "../../src/limit/policy-overrides.ts";

const overrides = [
  { key: "192.0.0.0/8", limit: 3 },
  { key: "192.0.2.0/24", limit: 4 },
  { key: "192.0.2.7", limit: 5 },
  { key: "2001:db8::/32", limit: 6 },
  { key: "user-1", limit: 0 },
];

function policy(change: object = {}): Policy {
  return parsePolicy({ limit: 10, window: "1d", overrides, ...change });
}

describe("an override of the configuration", () => {
  it.each([
    ["192.0.2.7", 5],
    ["192.0.2.8", 4],
    ["192.0.3.1", 3],
    ["198.51.100.1", 10],
    ["2001:db8:1:2::/64", 6],
    ["user-1", 0],
    ["unknown", 10],
  ])("comes from an exact key, else from the smallest network: %s", (key, limit) => {
    expect(policyFor(policy(), [key])).toMatchObject({ limit, capacity: limit });
  });

  it("looks for an address only in the key part that has one", () => {
    const made = policy({ key: ["header:x-a", "ip"] });
    expect(policyFor(made, ["192.0.2.7", "198.51.100.1"]).limit).toBe(10);
    expect(policyFor(made, ["a", "192.0.2.7"]).limit).toBe(5);
    expect(policyFor(policy({ key: ["header:x-a"] }), ["192.0.2.8"]).limit).toBe(10);
  });

  it("is met by the client that has the IPv6 address, or any part of the network", () => {
    const made = policy({
      overrides: [
        { key: "2001:db8:0:1::7", limit: 1 },
        { key: "2001:db8:0:2:3::/80", limit: 2 },
        { key: "2001:db8::/32", limit: 3 },
      ],
    });
    const limits = [1, 2, 3].map((n) => policyFor(made, [`2001:db8:0:${n}::/64`]).limit);
    expect(limits).toEqual([1, 2, 3]);
    expect(policyFor(made, ["2001:db8:0:1::8/128"]).limit).toBe(3);
  });

  it("gives the same policy object each time, so that a batch has it once", () => {
    const own = policy();
    expect(policyFor(own, ["192.0.2.7"])).toBe(policyFor(own, ["192.0.2.7"]));
    expect(policyFor(own, ["elsewhere"])).toBe(own);
  });

  it.each([
    { own: 60, other: 600, capacities: [2, 11] },
    { own: 1, other: 600, capacities: [1, 11] },
    { own: 0, other: 600, capacities: [0, 11] },
    { own: 600, burst: 9, other: 60, capacities: [10, 2] },
  ])("keeps the queue of a leaky bucket as short in time: $own, $other", (given) => {
    const { own: limit, burst, other, capacities } = given;
    const override = [{ key: "a", limit: other }];
    const fields = { limit, burst, window: "1h", algorithm: "leaky-bucket", overrides: override };
    const [leaky] = parsePolicies([fields], "POLICIES") as [Policy];
    expect([leaky.capacity, policyFor(leaky, ["a"]).capacity]).toEqual(capacities);
  });

  it.each([
    [{ overrides: [] }, "overrides must be a list of 1 to 1000 such as"],
    [{ overrides: [{ key: "a", limit: -1 }] }, "overrides[0].limit must be a whole number"],
    [{ overrides: [{ key: "a" }] }, "overrides[0].limit is required"],
    [
      { overrides: [{ key: "a", limit: 1 }], cost: 2 },
      "overrides[0].limit must let the cost of 2 pass, got 1",
    ],
    [
      {
        ...{ limit: 600, window: "1h", algorithm: "leaky-bucket", cost: 3 },
        overrides: [{ key: "a", limit: 60 }],
      },
      "overrides[0].limit must let the cost of 3 pass, got 60",
    ],
    [
      { overrides: [{ key: "a", limit: 10_001 }], algorithm: "sliding-log" },
      "overrides[0].limit must be at most 10000",
    ],
  ])("is refused by its place in the configuration: %j", (change, sentence) => {
    const given = [{ limit: 10, window: "1d", ...change }];
    expect(() => parsePolicies(given, "POLICIES")).toThrow(`POLICIES[0].${sentence}`);
  });
});
