/** Checks of the API that are sent again with their `requestId`. */
import { describe, expect, it } from "vitest";
import { answer, fresh, post } from "./api-client.ts";

const CHECKS = 1_000;

describe("a check with a requestId", () => {
  it("counts once if each of 1,000 is sent twice, a tenth of them in parallel", async () => {
    const inline = { key: fresh(), limit: 5_000, window: "1d" };
    const ids = Array.from({ length: CHECKS }, fresh);
    const check = (requestId: string) =>
      answer<{ remaining: number }>(post("/check", { ...inline, requestId }));
    for (let at = 0; at < CHECKS; at += CHECKS / 10) {
      const some = ids.slice(at, at + CHECKS / 10);
      const first = await Promise.all(
        some.map(async (requestId, index) => {
          const sent = check(requestId);
          // Each tenth check is sent twice in parallel.
          const again = index % 10 === 0 ? check(requestId) : sent.then(() => check(requestId));
          return Promise.all([sent, again]);
        }),
      );
      for (const [one, other] of first) expect(other).toEqual(one);
    }
    expect(await answer(post("/peek", inline))).toMatchObject({ remaining: 5_000 - CHECKS });
  });

  it("answers as the first time, whatever came between", async () => {
    const body = { key: fresh(), policy: "day", requestId: "order 1" };
    const first = await answer(post("/check", { ...body, cost: 3 }));
    expect(first).toMatchObject({ allowed: true, remaining: 7 });
    const { requestId: _, ...others } = body;
    await post("/check", { ...others, cost: 7 });
    expect(await answer(post("/check", others))).toMatchObject({ allowed: false });
    expect(await answer(post("/check", { ...body, cost: 3 }))).toEqual(first);
    // A denial is repeated, too.
    const denied = await answer(post("/check", { ...body, requestId: "order 2" }));
    expect(denied).toMatchObject({ allowed: false, reason: "limited" });
    await post("/reset", others);
    expect(await answer(post("/check", { ...body, requestId: "order 2" }))).toEqual(denied);
  });

  it("is another check for another key, and under another policy", async () => {
    const requestId = fresh();
    const key = fresh();
    for (const body of [
      { key, policy: "day" },
      { key, policy: "hour" },
      { key: fresh(), policy: "day" },
      { key, policies: [{ policy: "day" }, { policy: "hour" }] },
    ]) {
      const first = await answer(post("/check", { ...body, requestId }));
      expect(first).toMatchObject({ allowed: true });
      expect(await answer(post("/check", { ...body, requestId }))).toEqual(first);
    }
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 8 });
    expect(await answer(post("/peek", { key, policy: "hour" }))).toMatchObject({ remaining: 3 });
  });

  it("is the same one in whatever order its policies are written", async () => {
    const requestId = fresh();
    const key = fresh();
    const policies = [{ policy: "hour" }, { policy: "day" }];
    const first = await answer(post("/check", { key, policies, requestId, cost: 2 }));
    expect(first).toMatchObject({ policy: "hour", remaining: 3 });
    policies.reverse();
    expect(await answer(post("/check", { key, policies, requestId, cost: 2 }))).toEqual(first);
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 8 });
  });

  it("is another one at another cost, or under another limit", async () => {
    const body = { key: fresh(), window: "1d", requestId: fresh() };
    const check = (limit: number, cost: number) => answer(post("/check", { ...body, limit, cost }));
    expect(await check(9, 2)).toMatchObject({ allowed: true, remaining: 7, exact: true });
    expect(await check(5, 2)).toMatchObject({ allowed: true, remaining: 1, exact: true });
    const denied = await check(9, 8);
    expect(denied).toMatchObject({ allowed: false, remaining: 5, exact: true });
    expect(await check(9, 3)).toMatchObject({ allowed: true, remaining: 2, exact: true });
    expect(await check(9, 8)).toEqual(denied);
  });

  it("is another one for windows that begin otherwise, or with a block", async () => {
    const body = { key: fresh(), limit: 1, window: "1d", requestId: fresh() };
    expect(await answer(post("/check", body))).toMatchObject({ allowed: true });
    for (const other of [{ start: "first" }, { blockFor: "1h" }]) {
      const changed = await answer(post("/check", { ...body, ...other }));
      expect(changed).toMatchObject({ allowed: false });
    }
  });

  it("may be one of many, and take what is left", async () => {
    const checks = [
      { key: fresh(), policy: "day", cost: 8, requestId: "a" },
      { key: fresh(), policy: "day", cost: 20, atMost: true, requestId: "b" },
    ];
    const first = await answer(post("/check", { checks }));
    expect(first).toMatchObject({ decisions: [{ remaining: 2 }, { remaining: 0, taken: 10 }] });
    expect(await answer(post("/check", { checks }))).toEqual(first);
  });

  it.each<[string, object, string]>([
    ["check", { requestId: "" }, 'requestId must be text of 1 to 64 characters, got ""'],
    ["check", { requestId: 7 }, "requestId must be text of 1 to 64 characters, got 7"],
    [
      "check",
      { requestId: "x".repeat(65) },
      `requestId must be text of 1 to 64 characters, got "${"x".repeat(65)}"`,
    ],
    ["peek", { requestId: "a" }, 'requestId must be left out, since only a check counts, got "a"'],
    [
      "refund",
      { requestId: "a" },
      'requestId must be left out, since only a check counts, got "a"',
    ],
    [
      "check",
      {
        policy: undefined,
        policies: [{ policy: "day" }, { limit: 1, window: "1d" }],
        requestId: "a",
      },
      'requestId must be left out where policies have several keys or scopes, got "a"',
    ],
  ])("is refused in %s with %j", async (call, fields, detail) => {
    const response = await post(`/${call}`, { key: fresh(), policy: "day", ...fields });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ field: "requestId", detail });
  });
});
