import "./runs.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { MisuseError } from "../../src/limit/misuse.ts";
import type { Refusal } from "../../src/limit/refusal.ts";
import { fixedWindow, policy, record, siteFields } from "./input.ts";

const SECRET = "s3cr3t";

const lists = fc.array(fc.constantFrom("192.0.2.0/24", "2001:db8::/32", "192.0.2.7"));

const environments = record(
  {},
  {
    ORIGIN: fc.oneof(fc.webUrl(), fc.constantFrom("", "zone", "http://u:p@a")),
    POLICIES: fc
      .tuple(
        fc.array(fc.oneof(policy, fixedWindow, siteFields), { minLength: 1, maxLength: 3 }),
        fc.boolean(),
      )
      .map(([list, isText]) => (isText ? (toJson(list) ?? "[") : list)),
    OWNERS: fc.oneof(fc.integer({ min: 1, max: 256 }), fc.constantFrom("4", "04", " 4", "257")),
    HOME_REGION: fc.constantFrom("weur", "oc"),
    DEADLINE: fc.constantFrom("250ms", "10s", "11s"),
    IPV6_PREFIX: fc.integer({ min: 31, max: 128 }),
    IP_HEADER: fc.constantFrom("CF-Connecting-IP", "X-Forwarded-For", "a\r\nb"),
    ALLOW: lists,
    DENY: lists.map((list) => JSON.stringify(list)),
    TOKEN: fc.oneof(
      fc.string({ maxLength: 12 }).map((text) => `${text}${SECRET}`),
      fc.constantFrom(SECRET, `check:${SECRET}`, `a admin:${SECRET}=`, `${SECRET} ${SECRET}`),
    ),
    HASH_SECRET: fc.oneof(fc.constant(SECRET), fc.constant([SECRET])),
  },
);

/** A refusal can be answered, and leads no browser to a host that the operator did not name. */
function expectSafe(refusal: Refusal | undefined): void {
  if (!refusal) return;
  const { status, body, redirect } = refusal;
  const headers = new Headers();
  if (body) headers.set("Content-Type", body.type);
  if (redirect) headers.set("Location", redirect.location);
  expect(new Response(body?.text, { status, headers }).status).toBeGreaterThanOrEqual(400);
  if (!redirect?.location.startsWith("/")) return;
  const there = new URL(redirect.location, "https://site.example/a/b");
  expect(there.origin).toBe("https://site.example");
}

function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

describe("any environment", () => {
  it("is read within its bounds, or refused with the field's name and without its secrets", () => {
    fc.assert(
      fc.property(environments, (env) => {
        fc.pre(typeof env === "object" && env !== null);
        try {
          const config = parseConfig(env as object);
          expect(config.ownersPerRegion).toSatisfy((owners) => owners >= 1 && owners <= 256);
          expect(config.ipv6Prefix).toSatisfy((bits) => bits >= 32 && bits <= 128);
          expect(config.ipHeader).toMatch(/^[A-Za-z0-9-]+$/);
          if (!["", "zone"].includes(config.origin)) expect(config.origin).toMatch(/^https?:/i);
          for (const { name, limit, windowMs, capacity, cost } of config.policies) {
            expect(name).toMatch(/^[\w.-]+$/);
            expect(Number.isInteger(limit) && limit >= 0 && cost <= (capacity || cost)).toBe(true);
            expect(Number.isInteger(windowMs) && windowMs >= 1_000).toBe(true);
          }
          for (const { blockFor } of config.policies) {
            if (blockFor) expect(blockFor.maxMs).toBeGreaterThanOrEqual(blockFor.firstMs);
          }
          for (const { refusal } of config.policies) expectSafe(refusal);
          for (const { secret } of config.tokens) expect(secret).toMatch(/^[\w.~+/-]+=*$/);
        } catch (error) {
          expect(error).toBeInstanceOf(MisuseError);
          const { field, message } = error as MisuseError;
          expect(field).not.toBe("");
          expect(message).not.toContain(SECRET);
          expect(message.length).toBeLessThan(1_000);
        }
      }),
    );
  });
});
