import "./runs.ts";
import fc from "fast-check";
import { Hono } from "hono";
import { type Item, parseItem, parseList } from "structured-headers";
import { describe, expect, it } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { enforce } from "../../src/http/rate-limit.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";

const config = parseConfig({ IP_HEADER: "X-Address" });

/** All that may stand in a header's value, letters beyond ASCII aside. */
const values = fc.oneof(
  fc.constantFrom("", "*/*", "text/html;q=0", "text/html, application/json;q=", '";r=9;t=9, "x"'),
  fc
    .array(fc.constantFrom(..."\t !\"#%'(),;=[\\]{}~ab19.:-/"), { maxLength: 16 })
    .map((parts) => parts.join("")),
);

const names = ["Accept", "Cookie", "X-User", "X-Address", "RateLimit", "CF-Worker", "Upgrade"];
const headers: fc.Arbitrary<Record<string, string>> = fc.dictionary(
  fc.constantFrom(...names),
  values,
);

const policies = fc
  .array(
    fc.record({
      name: fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/),
      limit: fc.integer({ min: 1, max: 10_000 }),
      window: fc.integer({ min: 1_000, max: 31_622_400_000 }).map((ms) => `${ms}ms`),
      algorithm: fc.constantFrom("fixed-window", "token-bucket", "sliding-log", "concurrency"),
      key: fc.constantFrom(["ip"], ["header:X-User"], ["cookie:s", "path"], ["host", "method"]),
      shadow: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((list) => list.map((each, at) => ({ ...each, name: `${each.name.slice(0, 60)}.${at}` })));

function fieldItems(response: Response, name: string): Map<string, Item[1]> {
  const field = response.headers.get(name);
  const items = field === null ? [] : (parseList(field) as Item[]);
  return new Map(items.map(([text, parameters]) => [text as string, parameters]));
}

describe("whatever a client's headers and an operator's policies say", () => {
  it("the answer's fields can be read, and say what the policies are", async () => {
    await fc.assert(
      fc.asyncProperty(policies, headers, async (inputs, sent) => {
        const read = parsePolicies(inputs, "POLICIES");
        const app = new Hono();
        const caller = new Caller({ owners: new FakeOwners(), runtime: WORKERS, ...config });
        app.use(
          enforce(
            read.map((policy) => ({ policy })),
            caller,
            config,
          ),
        );
        app.get("*", (c) => c.text("in"));
        for (let n = 0; n < 2; n++) {
          const response = await app.request("/", { headers: sent });
          expect([200, 429]).toContain(response.status);
          const shown = read.filter(({ shadow }) => !shadow);
          const quotas = fieldItems(response, "RateLimit-Policy");
          const left = fieldItems(response, "RateLimit");
          expect([...quotas.keys()].sort()).toEqual(shown.map(({ name }) => name).sort());
          for (const { name, limit, windowMs, algorithm } of shown) {
            const quota = quotas.get(name);
            expect(quota?.get("q")).toBe(limit);
            if (algorithm !== "concurrency") {
              expect(quota?.get("w")).toBe(Math.ceil(windowMs / 1_000));
            }
            const remaining = Number(left.get(name)?.get("r"));
            expect(remaining >= 0 && remaining <= limit).toBe(true);
            expect(Number.isInteger(left.get(name)?.get("t"))).toBe(true);
          }
          if (response.status === 429) {
            const seconds = Number(response.headers.get("Retry-After"));
            expect(Number.isInteger(seconds) && seconds > 0).toBe(true);
          }
          await response.text();
        }
      }),
    );
  });

  it("nothing of a client's comes back as a header", async () => {
    const app = new Hono();
    const caller = new Caller({ owners: new FakeOwners(), runtime: WORKERS, ...config });
    const [policy] = parsePolicies([{ limit: 1, window: "1d", key: ["header:X-User"] }], "");
    if (policy) app.use(enforce([{ policy }], caller, config));
    app.get("*", (c) => c.text("in"));
    const known =
      /^(?:content-(?:type|security-policy)|x-content-type-options|cache-control|vary|retry-after|ratelimit(?:-policy)?)$/;
    await fc.assert(
      fc.asyncProperty(headers, async (sent) => {
        const response = await app.request("/", { headers: sent });
        for (const [name, value] of response.headers) {
          expect(name).toMatch(known);
          expect(value).toMatch(/^[\x20-\x7e]+$/);
        }
        const item = parseItem(response.headers.get("RateLimit") ?? "");
        expect([item[0], [...item[1].keys()]]).toEqual(["default", ["r", "t"]]);
        await response.text();
      }),
    );
  });
});
