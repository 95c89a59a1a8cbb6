import "./runs.ts";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { readBlock, readChecks, readReset, readUnblock } from "../../src/http/api/api-body.ts";
import { MisuseError } from "../../src/limit/misuse.ts";
import { MAX_UNITS } from "../../src/limit/policy-schema.ts";
import { app, config } from "../http/api-client.ts";
import { bucket, fixedWindow, inlinePolicy, policy, record } from "./input.ts";

const options = parseConfig({ POLICIES: [{ name: "day", limit: 10, window: "1d" }] });

const keys = fc.oneof(
  fc.string({ unit: "binary", minLength: 1 }),
  fc.nat({ max: 1_100 }).map((length) => "x".repeat(length)),
  fc.oneof(fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), fc.tuple(fc.ipV6(), fc.nat(128)).map(String)),
  fc.array(fc.string({ unit: "binary" }), { maxLength: 20 }),
);
const addresses = fc.oneof(fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), fc.string());
const cost = { cost: fc.integer({ min: 1, max: 20 }), atMost: fc.boolean() };
const named = { policy: fc.constantFrom("day", "day", "day", "week") };
const several = fc.array(fc.oneof(policy, fixedWindow, bucket, record(named)), {
  minLength: 1,
  maxLength: 4,
});
const checks = fc.oneof(
  record({ key: keys, ...named }, cost),
  record({ ip: addresses, ...named }, { ...cost, key: keys }),
  record({ key: keys, ...inlinePolicy }, cost),
  record({ key: keys, policies: several }, cost),
  record({ key: keys, ...named, ...inlinePolicy, policies: several }, cost),
);
const bodies = fc.oneof(
  checks,
  record({ checks: fc.array(checks, { minLength: 1, maxLength: 3 }) }),
  record({ key: keys, duration: fc.constantFrom("1ms", "0s", "366d", "1y") }),
  record({ ip: addresses }, { duration: fc.constantFrom("1ms", "0s", "366d", "1y") }),
);

afterEach(() => vi.restoreAllMocks());

/** @returns undefined where it was refused as it should be */
function read<Result>(reading: () => Result): Result | undefined {
  try {
    return reading();
  } catch (error) {
    expect(error).toBeInstanceOf(MisuseError);
    return undefined;
  }
}

describe("any body", () => {
  it("is questions that can be asked, or refused", () => {
    fc.assert(
      fc.property(bodies, (body) => {
        for (const { key, policies: asked } of read(() =>
          readChecks(body, options, "weur", "check"),
        )?.groups.flat() ?? []) {
          expect(key.length > 0 && key.length <= 16 && asked.length > 0).toBe(true);
          expect(key.every((part) => typeof part === "string" && part.isWellFormed())).toBe(true);
          // An override may allow more than the policy, so only an owner can refuse a high cost.
          for (const { cost } of asked) expect(cost).toBeLessThanOrEqual(MAX_UNITS);
        }
        for (const question of read(() => readReset(body, options, "weur")) ?? []) {
          expect(question.key.length > 0 && question.policies.length > 0).toBe(true);
        }
        expect(read(() => readBlock(body, options))?.durationMs ?? 1).toBeGreaterThan(0);
        expect(read(() => readUnblock(body, options))?.[0]).not.toEqual([]);
      }),
    );
  });

  it("is answered, as text or JSON, with nothing but a decision or a problem", async () => {
    const texts = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.json(),
      bodies.map((body) => JSON.stringify(body, plain) ?? ""),
    );
    // One test may have 10,000 timers at once, and here are more calls whose deadlines run.
    vi.spyOn(scheduler, "wait").mockImplementation((ms) =>
      ms > 1 ? new Promise(() => {}) : Promise.resolve(),
    );
    const paths = fc.constantFrom("/check", "/peek", "/refund", "/reset", "/block", "/explain");
    await fc.assert(
      fc.asyncProperty(texts, paths, async (body, path) => {
        const headers = { Authorization: `Bearer ${config.tokens[0]?.secret}` };
        const answer = await app.request(path, { method: "POST", headers, body });
        expect([200, 204, 400]).toContain(answer.status);
        if (answer.status !== 400) return void (await answer.body?.cancel());
        expect(answer.headers.get("Content-Type")).toBe("application/problem+json");
        expect(Object.keys(await answer.json())).toEqual(["status", "title", "detail", "field"]);
      }),
    );
  });
});

function plain(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
