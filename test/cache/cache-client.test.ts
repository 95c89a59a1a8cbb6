/** An isolate's way to an owner of cached values: what it copies, and how long it waits. */
import { describe, expect, it, vi } from "vitest";
import { CacheClient } from "../../src/cache/cache-client.ts";
import { CacheOwner, LEASE_MS } from "../../src/cache/cache-owner.ts";
import type { CacheRpc } from "../../src/cache/rpc.ts";
import type { Computed } from "../../src/cache/value.ts";
import type { Stub } from "../../src/protocol/rpc.ts";
import { runtimeWith } from "../../src/runtime.ts";
import { FakeTime, turn } from "../fake-runtime.ts";

const DEADLINE_MS = 250;
const LONGEST_MS = LEASE_MS + 2 * DEADLINE_MS;

/** Methods of an owner, which answer at once or later. */
type Methods = { [Name in keyof CacheRpc]?: CacheRpc[Name] | Stub<CacheRpc>[Name] };

/** @param methods those of the owner that the test needs */
function clientOf(
  time: Pick<FakeTime, "runtime">,
  methods: Methods,
  ring = { version: 1 },
): CacheClient {
  const routeOf = (key: string) => ({ owner: "weur/0", version: ring.version, name: key });
  const stub = new Proxy(methods as Stub<CacheRpc>, {
    get:
      (target, name: keyof CacheRpc) =>
      async (...given: never[]) =>
        Reflect.apply(target[name], target, given),
  });
  return new CacheClient({
    runtime: time.runtime,
    deadlineMs: DEADLINE_MS,
    stubOf: () => stub,
    ready: () => undefined,
    ringVersion: () => ring.version,
    routeOf,
    allRoutesOf: async (key) => [routeOf(key)],
    allOwners: async () => ["weur/0"],
  });
}

/** A computation that brings a text. */
function giving(text: string): () => Promise<Computed> {
  return async () => ({ value: new TextEncoder().encode(text), ttlMs: 60_000, tags: [] });
}

async function textOf(client: CacheClient, key: string, otherwise: string) {
  const found = await client.lookUp(key, giving(otherwise));
  return found && new TextDecoder().decode(found.value);
}

/** Begins, and tells when it ended and with what. */
function watch<Value>(time: FakeTime, promise: Promise<Value>) {
  const seen: { endMs?: number; value?: Value; error?: unknown } = {};
  const end = (what: { value: Value } | { error: unknown }) =>
    Object.assign(seen, what, { endMs: time.nowMs });
  promise.then(
    (value) => end({ value }),
    (error) => end({ error }),
  );
  return seen;
}

describe("an isolate's copy", () => {
  it("does not go back to a value from before a purge, however slow its answer is", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    const slow = Promise.withResolvers<void>();
    await textOf(clientOf(time, owner), "a", "old");
    const client = clientOf(time, {
      find: async (key: string) => {
        const held = owner.find(key);
        await slow.promise;
        return held;
      },
      lookUp: (...given) => owner.lookUp(...given),
      put: (...given) => owner.put(...given),
      purge: (key) => owner.purge(key),
    });
    const early = client.find("a");
    await turn();
    await client.purge("a");
    expect(await textOf(client, "a", "new")).toBe("new");
    slow.resolve();
    await early;
    expect(await textOf(client, "a", "newer")).toBe("new");
  });

  it("is no older than its time, the way of its answer included", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    await textOf(clientOf(time, owner), "a", "old");
    const wayMs = 200;
    const client = clientOf(time, {
      lookUp: async (...given) => {
        const looked = await owner.lookUp(...given);
        await time.wait(wayMs);
        return looked;
      },
      put: (...given) => owner.put(...given),
    });
    expect(await time.until(textOf(client, "a", "new"))).toBe("old");
    await owner.purge("a");
    await time.pass(1_000 - wayMs - 1);
    expect(await textOf(client, "a", "new")).toBe("old");
    await time.pass(1);
    expect(await time.until(textOf(client, "a", "new"))).toBe("new");
  });
});

describe("a change of the ring", () => {
  it("keeps an answer by the earlier ring from being copied, however late it is asked", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    const ring = { version: 1 };
    const client: CacheClient = clientOf(
      time,
      {
        lookUp: vi
          .fn((...given: Parameters<CacheOwner["lookUp"]>) => owner.lookUp(...given))
          .mockReturnValueOnce({ kind: "busy" }),
        wait: async () => {
          ring.version = 2;
          client.copyOf("of another request");
          return { kind: "purged" };
        },
        put: (...given) => owner.put(...given),
      },
      ring,
    );
    await textOf(clientOf(time, owner), "a", "old");
    expect(await textOf(client, "a", "new")).toBe("old");
    expect(client.copyOf("a")).toBeUndefined();
    expect(await textOf(client, "a", "new")).toBe("old");
    expect(client.copyOf("a")).toBeDefined();
  });
});

describe("who misses a value", () => {
  it("is one of 1,000 in five isolates that computes it", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    const clients = Array.from({ length: 5 }, () => clientOf(time, owner));
    let runs = 0;
    const compute = async () => {
      runs++;
      await time.wait(50);
      return giving("one")();
    };
    const asked = Array.from({ length: 200 }, () =>
      clients.map((client) => client.lookUp("a", compute)),
    );
    await time.pass(50);
    const found = await Promise.all(asked.flat());
    expect(found.filter((each) => each?.ageMs === 0)).toHaveLength(1_000);
    expect(runs).toBe(1);
  });

  it("computes without an error when the owner is killed meanwhile", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    const killed = Promise.withResolvers<never>();
    const client = clientOf(time, {
      lookUp: (...given) => owner.lookUp(...given),
      wait: () => killed.promise,
    });
    await owner.lookUp("a", 0);
    const found = textOf(client, "a", "own");
    await turn();
    killed.reject(new Error("killed"));
    expect(await found).toBe("own");
  });

  it("waits no longer than a lease and two deadlines for an owner that hangs", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    const client = clientOf(time, {
      lookUp: (...given) => owner.lookUp(...given),
      wait: () => new Promise(() => {}),
    });
    await owner.lookUp("a", 0);
    const seen = watch(time, textOf(client, "a", "own"));
    await time.pass(2 * LONGEST_MS);
    expect(seen.value).toBe("own");
    expect(seen.endMs).toBeLessThanOrEqual(LONGEST_MS);
  });

  it("waits no longer where others purge again and again", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    await owner.lookUp("a", 0);
    const seen = watch(time, textOf(clientOf(time, owner), "a", "own"));
    for (let purges = 0; purges < 4; purges++) {
      await time.pass(LEASE_MS - 100);
      await owner.purgeTag("any");
      // Another is the first to ask anew.
      await owner.lookUp("a", 0);
    }
    await time.pass(LONGEST_MS);
    expect(seen.value).toBe("own");
    expect(seen.endMs).toBeLessThanOrEqual(LONGEST_MS);
  });
});

describe("a client", () => {
  it("gives up by a timer of the runtime, and leaves none behind a call that has ended", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const real = { runtime: runtimeWith(() => {}) };
      const owner = new CacheOwner(real.runtime);
      expect(await textOf(clientOf(real, owner), "a", "own")).toBe("own");
      expect(vi.getTimerCount()).toBe(0);

      const calls: (() => void)[] = [];
      const late = clientOf(real, {
        lookUp: () => new Promise((_, no) => calls.push(no as never)),
      });
      const found = textOf(late, "b", "mine");
      await vi.advanceTimersByTimeAsync(DEADLINE_MS - 1);
      expect(vi.getTimerCount()).toBe(1);
      await vi.advanceTimersByTimeAsync(10);
      expect(await found).toBe("mine");
      const failed = textOf(late, "c", "mine");
      await vi.advanceTimersByTimeAsync(10);
      calls[1]?.();
      expect(await failed).toBe("mine");
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("does not wait a third time for an owner that was late twice, until a second later", async () => {
    const time = new FakeTime();
    let calls = 0;
    const hang = () => {
      calls++;
      return new Promise<never>(() => {});
    };
    const client = clientOf(time, { lookUp: hang });
    for (const waited of [1, 2]) {
      expect(await time.until(textOf(client, "a", "own"))).toBe("own");
      expect([calls, time.nowMs]).toEqual([waited, waited * DEADLINE_MS]);
    }
    expect(await textOf(client, "a", "own")).toBe("own");
    expect(calls).toBe(2);
    await time.pass(1_000);
    const tried = textOf(client, "a", "own");
    expect(await textOf(client, "a", "own")).toBe("own");
    expect(calls).toBe(3);
    expect(await time.until(tried)).toBe("own");
  });

  it("goes on asking an owner that fails at once", async () => {
    const time = new FakeTime();
    const owner = new CacheOwner(time.runtime);
    let failures = 10;
    const client = clientOf(time, {
      lookUp: async (...given) => {
        if (failures-- > 0) throw new Error("killed");
        return owner.lookUp(...given);
      },
      put: (...given) => owner.put(...given),
    });
    for (let n = 0; n < 10; n++) expect(await textOf(client, "a", `${n}`)).toBe(`${n}`);
    await textOf(client, "a", "kept");
    expect(await textOf(client, "a", "other")).toBe("kept");
  });

  it("ends the purge of a tag though an owner hangs", async () => {
    const time = new FakeTime();
    const stub = { purgeTag: () => new Promise<void>(() => {}) };
    const seen = watch(time, clientOf(time, stub).purgeTag("a"));
    await time.pass(60_000);
    expect(String(seen.error)).toContain("no answer within 5000 ms");
  });
});
