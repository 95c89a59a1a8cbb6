/** `getOrCompute`, upon a store within the test. */
import { describe, expect, it, vi } from "vitest";
import { ComputedValues } from "../../src/cache/computed-values.ts";
import { MemoryStore } from "./http/memory-store.ts";
import { movingDate, settled } from "./moving-date.ts";

const pass = movingDate();

const newValues = () => new ComputedValues(new MemoryStore());

describe("a computed value", () => {
  it.each([[{ a: [1, "ü", null] }], ["text"], [0], [false], [null], [Uint8Array.of(0, 255)]])(
    "is for others as it was: %j",
    async (value) => {
      const values = newValues();
      const compute = vi.fn(() => value);
      for (let at = 0; at < 2; at++) {
        expect(await values.getOrCompute("k", { ttl: "1s" }, compute)).toEqual(value);
      }
      expect(compute).toHaveBeenCalledTimes(1);
    },
  );

  it("has less than 1 MB", async () => {
    const getting = newValues().getOrCompute("k", { ttl: "1s" }, () => new Uint8Array(1_048_576));
    await expect(getting).rejects.toThrow("value must have less than 1048576 bytes, got 1048576");
  });

  it.each([
    ["a response", () => new Response("text")],
    ["a map", () => new Map([[1, 2]])],
  ])("is not %s, which others would get as {}", async (_, compute) => {
    const getting = newValues().getOrCompute("k", { ttl: "1s" }, compute as () => unknown);
    await expect(getting).rejects.toThrow("value must be bytes, or what JSON can hold, got");
  });

  it("is not kept if it is undefined", async () => {
    const values = newValues();
    const compute = vi.fn(() => undefined);
    for (let at = 0; at < 2; at++) await values.getOrCompute("k", { ttl: "1s" }, compute);
    expect(compute).toHaveBeenCalledTimes(2);
  });

  it("is fresh for its ttl, then stale while another is computed, then gone", async () => {
    const values = newValues();
    let runs = 0;
    const get = () => values.getOrCompute("k", { ttl: "10s", staleFor: "5s" }, () => ++runs);
    expect(await get()).toBe(1);
    pass(9_999);
    expect(await get()).toBe(1);
    expect(runs).toBe(1);
    pass(1);
    expect(await get()).toBe(1);
    await settled();
    expect(await get()).toBe(2);
    pass(15_000);
    expect(await get()).toBe(3);
  });

  it("is asked for anew though the runtime has ended the request that did so", async () => {
    const store = new MemoryStore();
    const values = new ComputedValues(store);
    const options = { ttl: "10s", staleFor: "1m" };
    await values.getOrCompute("k", options, () => "old");
    pass(10_000);
    const lookUp = vi.spyOn(store, "lookUp");
    for (const ms of [0, 29_999, 1]) {
      pass(ms);
      expect(await values.getOrCompute("k", options, () => new Promise(() => {}))).toBe("old");
    }
    const refreshes = lookUp.mock.calls.filter(([, , newerThan]) => newerThan);
    expect(refreshes).toHaveLength(2);
  });

  it("stays stale where the next computation fails", async () => {
    const values = newValues();
    const options = { ttl: "10s", staleFor: "5s", negativeFor: "1m" };
    await values.getOrCompute("k", options, () => "old");
    pass(12_000);
    const fail = () => Promise.reject(new Error("broken"));
    expect(await values.getOrCompute("k", options, fail)).toBe("old");
    await settled();
    expect(await values.getOrCompute("k", options, fail)).toBe("old");
  });
});

describe("an error", () => {
  it("is what compute threw, and each computes again", async () => {
    const values = newValues();
    const error = new TypeError("broken");
    const compute = vi.fn(() => Promise.reject(error));
    for (let at = 0; at < 2; at++) {
      await expect(values.getOrCompute("k", { ttl: "1s" }, compute)).rejects.toBe(error);
    }
    expect(compute).toHaveBeenCalledTimes(2);
  });

  it.each([
    ["a message too large to be remembered", new Error("x".repeat(1_048_576))],
    ["no text at all", Object.create(null)],
  ])("is what compute threw, with %s", async (_, error) => {
    const options = { ttl: "1s", negativeFor: "1s" };
    const getting = newValues().getOrCompute("k", options, () => Promise.reject(error));
    await expect(getting).rejects.toBe(error);
  });

  it("is thrown again for negativeFor, without a computation", async () => {
    const values = newValues();
    const compute = vi.fn(() => Promise.reject(new Error("broken")));
    const get = () => values.getOrCompute("k", { ttl: "1m", negativeFor: "2s" }, compute);
    for (let at = 0; at < 3; at++) await expect(get()).rejects.toThrow("broken");
    expect(compute).toHaveBeenCalledTimes(1);
    pass(2_000);
    await expect(get()).rejects.toThrow("broken");
    expect(compute).toHaveBeenCalledTimes(2);
  });

  it.each([
    ["", { ttl: "1s" }, /^key must have 1 to 1024 characters/],
    ["k".repeat(1_025), { ttl: "1s" }, /^key must have 1 to 1024 characters/],
    ["k", {}, /^ttl is required/],
    ["k", { ttl: "0s" }, /^ttl must be a duration from 1ms to 7d/],
    ["k", { ttl: "1s", negativeFor: "2h" }, /^negativeFor must be a duration from 0s to 1h/],
    ["k", { ttl: "1s", tags: "x" }, /^tags must be a list of names/],
    ["k", { ttl: "1s", stale: "1s" }, /^stale is not a known field \(did you mean "staleFor"\?\)/],
  ])("names what is wrong: %s %j", async (key, options, message) => {
    const getting = newValues().getOrCompute(key, options as never, () => 1);
    await expect(getting).rejects.toThrow(message);
  });
});
