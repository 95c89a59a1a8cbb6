import { describe, expect, it } from "vitest";
import { limiter } from "../../src/index.ts";

const fresh = () => crypto.randomUUID();

describe("limiter", () => {
  it("counts against a real owner", async () => {
    const logins = limiter({ name: fresh(), limit: 5, window: "1d" });
    expect(await logins.check("ada", { cost: 3 })).toMatchObject({ allowed: true, remaining: 2 });
    expect(await logins.peek("ada", { cost: 3 })).toMatchObject({ allowed: false, remaining: 2 });
    expect(await logins.check("ada", { cost: 3 })).toMatchObject({ allowed: false, remaining: 2 });
    expect(await logins.check("bob")).toMatchObject({ allowed: true, remaining: 4 });
    await logins.reset("ada");
    expect(await logins.check("ada", { cost: 5 })).toMatchObject({ allowed: true, remaining: 0 });
  });

  it("refuses options that make no policy, where they are written", () => {
    expect(() => limiter({ name: fresh(), limit: 0, window: "1d" })).toThrow(
      "limit must be a whole number from 1 to 1000000000, got 0",
    );
  });

  it("refuses a second policy of the same name, which would share its counters", () => {
    const name = fresh();
    limiter({ name, limit: 5, window: "1d" });
    expect(() => limiter({ name, limit: 5, window: "1d" })).not.toThrow();
    expect(() => limiter({ name, limit: 6, window: "1d" })).toThrow(
      `name must be different for each policy, got "${name}"`,
    );
  });

  it("rejects keys and costs that make no sense", async () => {
    const logins = limiter({ name: fresh(), limit: 5, window: "1d" });
    await expect(logins.check("")).rejects.toThrow('key must not be empty, got ""');
    await expect(logins.check("ü".repeat(513))).rejects.toThrow("key must be at most 1024 bytes");
    await expect(logins.check("ada", { cost: 0 })).rejects.toThrow("cost must be a whole number");
    await expect(logins.check("ada", { cost: 6 })).rejects.toThrow(
      "cost must be at most 5, the limit of",
    );
    expect(await logins.peek("ada")).toMatchObject({ remaining: 5 });
  });
});
