/** The owner of cached values: leases, purges and bounds, by literal times. */
import { describe, expect, it, vi } from "vitest";
import { CacheOwner, LEASE_MS } from "../../src/cache/cache-owner.ts";
import { FakeTime, turn } from "../fake-runtime.ts";

function bytes(text: string, ttlMs = 10_000, tags: string[] = []) {
  return { value: new TextEncoder().encode(text), ttlMs, tags };
}

async function leaseOf(owner: CacheOwner, key: string, newerThan = 0): Promise<number> {
  const looked = await owner.lookUp(key, newerThan);
  if (looked.kind !== "lease") throw new Error(looked.kind);
  return looked.fence;
}

async function textAt(owner: CacheOwner, key: string): Promise<string | undefined> {
  const held = await owner.find(key);
  return held && new TextDecoder().decode(held.value);
}

describe("an owner of cached values", () => {
  it("keeps a value for its time, and tells its age", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    await owner.put("a", await leaseOf(owner, "a"), bytes("one", 1_000));
    await time.pass(999);
    expect(await owner.find("a")).toMatchObject({ ageMs: 999, leftMs: 1 });
    await time.pass(1);
    expect(await owner.find("a")).toBeUndefined();
    expect(owner.bytes).toBe(0);
  });

  it("has one of all compute, and gives its value to those who wait", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    const fence = await leaseOf(owner, "a");
    expect(await owner.lookUp("a", 0)).toEqual({ kind: "busy" });
    const waiting = [owner.wait("a", 0), owner.wait("a", 0)];
    await owner.put("a", fence, bytes("one"));
    for (const waited of await Promise.all(waiting)) {
      expect(waited).toMatchObject({ kind: "held", held: { version: fence } });
    }
  });

  it("counts leases within its bound, and lets a flood of keys compute unheard of", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime, 100_000);
    await owner.put("kept", await leaseOf(owner, "kept"), bytes("x".repeat(60_000)));
    const fences: number[] = [];
    for (let n = 0; n < 1_000; n++) fences.push(await leaseOf(owner, `key ${n}`));
    expect(new Set(fences).size).toBe(1_000);
    expect(owner.bytes).toBeLessThanOrEqual(100_000);
    expect(await textAt(owner, "kept")).toBeUndefined();
    expect(await owner.put("key 0", fences[0] as number, bytes("early"))).toBe(true);
    expect(await owner.put("key 999", fences[999] as number, bytes("late"))).toBe(false);
    await owner.purgeTag("any");
    await owner.purge("key 0");
    expect(owner.bytes).toBe(0);
  });

  it("lets those who wait go where there is nothing to keep", async () => {
    const owner = new CacheOwner(new FakeTime().runtime);
    const fence = await leaseOf(owner, "a");
    const waiting = owner.wait("a", 0);
    expect(await owner.put("a", fence, undefined)).toBe(false);
    expect(await waiting).toEqual({ kind: "nothing" });
  });

  it("waits for a computer that vanished until its lease is over, and drops what it brings later", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    const vanished = await leaseOf(owner, "a");
    const waiting = owner.wait("a", 0);
    let isOver = false;
    waiting.then(() => {
      isOver = true;
    });
    await time.pass(LEASE_MS - 1);
    await turn();
    expect(isOver).toBe(false);
    await time.pass(1);
    expect(await waiting).toEqual({ kind: "nothing" });
    const next = await leaseOf(owner, "a");
    expect(next).toBeGreaterThan(vanished);
    expect(await owner.put("a", vanished, bytes("late"))).toBe(false);
    expect(await owner.put("a", next, bytes("new"))).toBe(true);
    expect(await owner.put("a", vanished, bytes("later"))).toBe(false);
    expect(await textAt(owner, "a")).toBe("new");
  });

  it("ends values and leases in their time though the machine's clock is set back", async () => {
    const time = new FakeTime();
    time.nowMs = 3_600_000;
    const owner = new CacheOwner(time.runtime);
    await owner.put("a", await leaseOf(owner, "a"), bytes("one", 1_000));
    await leaseOf(owner, "b");
    time.nowMs = 0;
    expect(await textAt(owner, "a")).toBe("one");
    await time.pass(LEASE_MS);
    expect(await textAt(owner, "a")).toBeUndefined();
    await leaseOf(owner, "b");
  });

  it("tells its timer when nobody waits any more", async () => {
    const { runtime } = new FakeTime();
    const wait = vi.fn(runtime.wait);
    const owner = new CacheOwner({ ...runtime, wait });
    const fence = await leaseOf(owner, "a");
    const waiting = owner.wait("a", 0);
    await owner.put("a", fence, bytes("one"));
    await waiting;
    const [ms, end] = wait.mock.calls[0] ?? [];
    expect(ms).toBe(LEASE_MS);
    expect(await end).toBe("computed");
  });

  it("has a newer value computed for those who ask for it, while others get the old one", async () => {
    const owner = new CacheOwner(new FakeTime().runtime);
    const first = await leaseOf(owner, "a");
    await owner.put("a", first, bytes("old"));
    const second = await leaseOf(owner, "a", first);
    expect(await owner.lookUp("a", first)).toEqual({ kind: "busy" });
    expect(await owner.lookUp("a", 0)).toMatchObject({ kind: "held" });
    await owner.put("a", second, bytes("new"));
    expect(await owner.lookUp("a", first)).toMatchObject({
      kind: "held",
      held: { version: second },
    });
  });

  it("does not keep what was computed while it was purged", async () => {
    const owner = new CacheOwner(new FakeTime().runtime);
    for (const purge of [() => owner.purge("a"), () => owner.purgeTag("any")]) {
      const fence = await leaseOf(owner, "a");
      const waiting = owner.wait("a", 0);
      await purge();
      expect(await waiting).toEqual({ kind: "purged" });
      expect(await owner.put("a", fence, bytes("purged"))).toBe(false);
      expect(await owner.find("a")).toBeUndefined();
    }
  });

  it("forgets the values of a tag, and no others", async () => {
    const owner = new CacheOwner(new FakeTime().runtime);
    await owner.put("a", await leaseOf(owner, "a"), bytes("a", 10_000, ["x", "y"]));
    await owner.put("b", await leaseOf(owner, "b"), bytes("b", 10_000, ["y"]));
    await owner.purgeTag("x");
    expect([await textAt(owner, "a"), await textAt(owner, "b")]).toEqual([undefined, "b"]);
  });

  it("stays within its bytes under any number of keys, and keeps those in use", async () => {
    const owner = new CacheOwner(new FakeTime().runtime, 100_000);
    await owner.put("used", await leaseOf(owner, "used"), bytes("used"));
    for (let at = 0; at < 10_000; at++) {
      const key = `key-${at}`;
      await owner.put(key, await leaseOf(owner, key), bytes("x".repeat(at % 500)));
      expect(owner.bytes).toBeLessThanOrEqual(100_000);
      if (at % 50 === 0) await owner.find("used");
    }
    expect(await textAt(owner, "used")).toBe("used");
    expect(await textAt(owner, "key-9999")).toBe("x".repeat(499));
    expect(await textAt(owner, "key-0")).toBeUndefined();
  });

  it("keeps nothing above 1 MB", async () => {
    const owner = new CacheOwner(new FakeTime().runtime);
    const large = { ...bytes(""), value: new Uint8Array(1_048_577) };
    expect(await owner.put("a", await leaseOf(owner, "a"), large)).toBe(false);
  });
});
