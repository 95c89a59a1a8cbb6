/** What `explain` answers: whether a client is denied now, by what, and who counts nothing of it. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api/api.ts";
import { answer, caller, fresh } from "./api-client.ts";

const config = parseConfig({
  TOKEN: "secret-1",
  ALLOW: ["192.0.2.1"],
  DENY: ["192.0.2.2"],
  DEADLINE: "10s",
  POLICIES: [
    { name: "explained", limit: 10, window: "1d", start: "first", allow: ["192.0.2.3"] },
    { name: "login", limit: 1, window: "1d", blockFor: "1h", path: "/login" },
    { name: "partner", limit: 5, window: "1d", deny: ["192.0.2.4"], path: "/partner" },
    { name: "tried", limit: 5, window: "1d", deny: ["192.0.2.4"], shadow: true },
    { name: "key", limit: 5, window: "1d", key: ["header:X-Api-Key"] },
  ],
});
const app = api(caller, config);

afterEach(() => vi.restoreAllMocks());

interface Explained {
  summary: string;
  allowed: boolean;
  exact: boolean;
  policies: { policy: string }[];
  others: { policy: string; state: string }[];
}

function call(path: string, body: object) {
  const headers = { Authorization: "Bearer secret-1" };
  return app.request(path, { method: "POST", headers, body: JSON.stringify(body) });
}

const explain = (body: object) => answer<Explained>(call("/explain", body));

describe("an explanation", () => {
  it("says of an address, without a policy, what all of them count, and which count another key", async () => {
    const ip = "198.51.100.1";
    expect(await explain({ ip })).toMatchObject({
      summary: "nothing denies it now in weur: not seen there lately",
      allowed: true,
      policies: [
        { policy: "explained", key: [ip] },
        { policy: "login" },
        { policy: "partner" },
        { policy: "tried" },
      ],
      others: [
        {
          policy: "key",
          state: "counts by header:X-Api-Key, so an address alone says nothing",
        },
      ],
    });
    await call("/check", { ip, policy: "explained" });
    expect((await explain({ ip })).summary).toBe("nothing denies it now in weur");
    expect((await explain({ ip: "2001:db8::1" })).policies[0]).toMatchObject({
      key: ["2001:db8::/64"],
    });
    const key = fresh();
    expect((await explain({ key })).policies.map(({ policy }) => policy)).toContain("key");
    const refused = await call("/explain", { key: "2001:db8::1" });
    expect([refused.status, await answer(refused)]).toMatchObject([
      200,
      { others: [{}, {}, {}, {}] },
    ]);
  });

  it("says what denies it, and for how long", async () => {
    const ip = "198.51.100.2";
    await call("/check", { ip, policy: "explained", cost: 10 });
    expect(await explain({ ip })).toMatchObject({
      summary: "denied now by explained, for 1 day",
      allowed: false,
    });
    for (let n = 0; n < 2; n++) await call("/check", { ip, policy: "login" });
    expect((await explain({ ip, policy: "login" })).summary).toMatch(
      /^blocked by login for [\dhmins ]+ more$/,
    );
    await call("/block", { ip, duration: "37m" });
    expect(await explain({ ip })).toMatchObject({
      summary: expect.stringMatching(/^blocked by an operator for 3[67] min(?: \d+ s)? more$/),
      allowed: false,
    });
  });

  it.each([
    ["192.0.2.1", "nothing denies it now", "ALLOW lets it pass, and nothing is counted", 5],
    ["192.0.2.2", "refused with 403 by DENY", "DENY refuses it with 403", 5],
    [
      ...["192.0.2.3", "nothing denies it now in weur: not seen there lately"],
      ...["allow lets it pass, and nothing is counted", 1],
    ],
    ["192.0.2.4", "refused with 403 by deny of partner", "deny refuses it with 403", 1],
  ] as const)("says of %s which list has it", async (ip, summary, state, count) => {
    const { others, ...said } = await explain({ ip });
    expect(said).toMatchObject({ summary, allowed: !summary.startsWith("refused") });
    expect(others.filter((each) => each.state === state)).toHaveLength(count);
    const { policy } = others[0] as { policy: string };
    expect(await explain({ ip, policy })).toMatchObject({ policies: [], others: [{ state }] });
  });

  it("says whether the counts may be off", async () => {
    const body = { key: fresh(), policy: "explained" };
    expect(await explain(body)).toMatchObject({ exact: true });
    const { peek } = caller;
    vi.spyOn(caller, "peek").mockImplementation(async (questions) => {
      const replies = await peek.call(caller, questions);
      return replies.map(({ decisions, ...rest }) => ({
        ...rest,
        decisions: decisions.map((each) => ({ ...each, exact: false })),
      }));
    });
    const { exact, summary } = await explain(body);
    expect([exact, summary]).toEqual([false, expect.stringMatching(/ \(counts may be off\)$/)]);
  });

  it("is one for each of many checks", async () => {
    const checks = [{ ip: "192.0.2.2" }, { key: fresh(), policy: "key" }];
    const { explanations } = await answer(call("/explain", { checks }));
    expect(explanations).toMatchObject([
      { summary: "refused with 403 by DENY" },
      { summary: "nothing denies it now in weur: not seen there lately", policies: [{}] },
    ]);
  });

  it("refuses what no policy could count, and a check of no client", async () => {
    for (const [body, field] of [
      [{}, "key"],
      [{ key: "k", ip: "192.0.2.9" }, "ip"],
      [{ ip: "192.0.2.9", policy: "key" }, "ip"],
      [{ key: "2001:db8::1", policy: "explained" }, "key"],
    ] as const) {
      const refused = await call("/explain", body);
      expect([refused.status, await answer(refused)]).toMatchObject([400, { field }]);
    }
  });
});
