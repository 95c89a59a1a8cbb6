/** Reservations in the library, against real owners. */
import { evictAllDurableObjects } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { type LimiterOptions, limiter } from "../../src/index.ts";

const fresh = () => crypto.randomUUID();
const tokensOf = (options: Partial<LimiterOptions> = {}) =>
  limiter({ name: fresh(), limit: 10_000, window: "1d", ...options });

describe("a reservation", () => {
  it("is spent until it is settled, and then costs what it came to", async () => {
    const tokens = tokensOf();
    const { allowed, remaining, settle, release } = await tokens.reserve("ada", 2_000);
    expect({ allowed, remaining }).toEqual({ allowed: true, remaining: 8_000 });
    expect(await settle(500)).toMatchObject({ was: "live", remaining: 9_500 });
    expect(await settle(900)).toMatchObject({ was: "settled", remaining: 9_500 });
    expect(await release()).toMatchObject({ was: "settled", remaining: 9_500 });
  });

  it("is released whole", async () => {
    const tokens = tokensOf();
    const { release } = await tokens.reserve("ada", 2_000, { ttl: "5m" });
    expect(await release()).toMatchObject({ was: "live", remaining: 10_000 });
  });

  it("may cost more than the limit, which delays the next", async () => {
    const tokens = tokensOf({ algorithm: "token-bucket", limit: 1_000, window: "1h" });
    const { settle } = await tokens.reserve("ada", 100);
    const settled = await settle(1_500);
    expect(settled).toMatchObject({ was: "live", allowed: false, remaining: 0 });
    // The 500 units owed and the next one, at 3.6 s each.
    expect(settled.retryAfterMs).toBeGreaterThan(501 * 3_600 - 30_000);
    expect(settled.retryAfterMs).toBeLessThanOrEqual(501 * 3_600);
    expect(await tokens.check("ada")).toMatchObject({ allowed: false });
  });

  it("passes for two of five that come at once, all while 0 is spent", async () => {
    const tokens = tokensOf();
    const all = await Promise.all(Array.from({ length: 5 }, () => tokens.reserve("ada", 4_000)));
    expect(all.filter(({ allowed }) => allowed)).toHaveLength(2);
    const denied = all.find(({ allowed }) => !allowed);
    expect(denied).toMatchObject({ reason: "limited", remaining: 2_000 });
    expect(denied).not.toHaveProperty("hold");
    await expect(denied?.settle(1)).rejects.toThrow("this reservation was denied");
  });

  it("is settled elsewhere by its name, though its owner was evicted meanwhile", async () => {
    const tokens = tokensOf();
    const { hold = "" } = await tokens.reserve("ada", 2_000);
    const other = await tokens.reserve("ada", 2_000);
    await evictAllDurableObjects();
    expect(await tokens.settle("ada", hold, 0)).toMatchObject({ was: "live", remaining: 8_000 });
    expect(await tokens.release("ada", other.hold ?? "")).toMatchObject({ remaining: 10_000 });
    expect((await tokens.explain("ada")).policies[0]).not.toHaveProperty("holds");
  });

  it("is shown by explain", async () => {
    const tokens = tokensOf();
    await tokens.reserve("ada", 2_000);
    await tokens.reserve("ada", 1_000);
    const [explained] = (await tokens.explain("ada")).policies;
    expect(explained?.holds).toEqual({ count: 2, units: 3_000 });
    expect(explained?.state).toMatch(
      /3000 of 10000 spent.*; 3000 of that held by 2 holds, the next ends/,
    );
  });

  it("ends by itself", async () => {
    const tokens = tokensOf();
    const { settle } = await tokens.reserve("ada", 2_000, { ttl: "5ms" });
    await scheduler.wait(20);
    expect(await tokens.peek("ada")).toMatchObject({ remaining: 10_000 });
    expect(await settle(700)).toMatchObject({ was: "ended", remaining: 9_300 });
  });

  it("is charged its actual cost, although its owner has crashed or did not answer", async () => {
    const tokens = tokensOf();
    const { settle } = await tokens.reserve("ada", 2_000);
    await tokens.reset("ada");
    expect(await settle(700)).toMatchObject({ was: "ended", remaining: 9_300 });
  });

  it("is refused if it makes no sense, and the error names the field", async () => {
    const tokens = tokensOf();
    const { hold = "" } = await tokens.reserve("ada", 1);
    const bad: [() => Promise<unknown>, string][] = [
      [() => tokens.reserve("ada", 0), "amount must be a whole number from 1 to 1000000000, got 0"],
      [() => tokens.reserve("ada", 10_001), "amount must be at most 10000, the most that"],
      [
        () => tokens.reserve("ada", 1, { ttl: "2h" }),
        'ttl must be a duration from 1ms to 1h such as "1m"',
      ],
      [() => tokens.reserve("ada", 1, { ttl: "0s" }), "ttl must be a duration"],
      [() => tokens.settle("ada", hold, -1), "actual must be a whole number from 0 to"],
      [() => tokens.settle("ada", hold, undefined as never), "actual must be a whole number"],
      [
        () => tokens.settle("ada", "mars.1", 1),
        'hold must be a hold as it was given, got "mars.1"',
      ],
      [() => tokens.settle("bob", hold, 1), "hold must be of this key under these policies"],
      [() => tokensOf().settle("ada", hold, 1), "hold must be of this key under these policies"],
      [() => tokens.release("ada", "weur.0"), "hold must be of this key under these policies"],
      [
        () => tokensOf({ algorithm: "concurrency", limit: 5 }).reserve("ada", 1),
        'algorithm must be another than "concurrency" to reserve',
      ],
    ];
    for (const [given, message] of bad) await expect(given()).rejects.toThrow(message);
    expect(await tokens.peek("ada")).toMatchObject({ remaining: 9_999 });
  });

  it("counts in shadow what would have passed", async () => {
    const tokens = tokensOf({ shadow: true });
    await tokens.reserve("ada", 8_000);
    const { allowed, reason, settle } = await tokens.reserve("ada", 8_000);
    expect({ allowed, reason }).toEqual({ allowed: true, reason: "shadow" });
    expect(await settle(9_000)).toMatchObject({ was: "live", remaining: 2_000 });
  });

  it("does not count from a lease", async () => {
    const tokens = tokensOf({ lease: 0.5 });
    for (let n = 0; n < 200; n++) await tokens.check("ada");
    const { source, settle } = await tokens.reserve("ada", 100);
    expect(source).toBe("owner");
    expect(await settle(1)).toMatchObject({ was: "live" });
  });
});
