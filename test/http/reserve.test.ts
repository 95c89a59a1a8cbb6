/** Reservations over HTTP. */
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api/api.ts";
import { answer, caller, fresh, post } from "./api-client.ts";

const wide = () => ({ key: fresh(), limit: 10_000, window: "1d" });

describe("the API's reservations", () => {
  it("are spent, settled and released by their names", async () => {
    const asked = wide();
    const first = await answer(post("/reserve", { ...asked, amount: 2_000 }));
    expect(first).toMatchObject({ allowed: true, remaining: 8_000, hold: expect.any(String) });
    const second = await answer(post("/reserve", { ...asked, amount: 3_000, ttl: "1h" }));
    const settled = await answer(post("/settle", { ...asked, hold: first.hold, amount: 2_500 }));
    expect(settled).toMatchObject({ was: "live", allowed: true, remaining: 4_500 });
    const again = await answer(post("/settle", { ...asked, hold: first.hold, amount: 2_500 }));
    expect(again).toMatchObject({ was: "settled", remaining: 4_500 });
    const released = await answer(post("/release", { ...asked, hold: second.hold }));
    expect(released).toMatchObject({ was: "live", remaining: 7_500 });
  });

  it("are denied with 200 and no hold", async () => {
    const asked = wide();
    await post("/reserve", { ...asked, amount: 9_000 });
    const response = await post("/reserve", { ...asked, amount: 2_000 });
    expect(response.status).toBe(200);
    const denied = (await response.json()) as object;
    expect(denied).toMatchObject({ allowed: false, reason: "limited", remaining: 1_000 });
    expect(denied).not.toHaveProperty("hold");
  });

  it("take all policies or none, and settle under all of them", async () => {
    const asked = { key: fresh(), policies: [{ policy: "day" }, { policy: "hour" }] };
    const { hold } = await answer(post("/reserve", { ...asked, amount: 4 }));
    expect(await answer(post("/reserve", { ...asked, amount: 3 }))).toMatchObject({
      allowed: false,
      policy: "hour",
    });
    const settled = await answer(post("/settle", { ...asked, hold, amount: 1 }));
    expect(settled).toMatchObject({ was: "live", policy: "hour", remaining: 4 });
    const day = { key: asked.key, policy: "day" };
    expect(await answer(post("/peek", day))).toMatchObject({ remaining: 9 });
  });

  it("are of an address, whatever keys the policies give it", async () => {
    const { hold } = await answer(post("/reserve", { ip: "192.0.2.77", policy: "day", amount: 5 }));
    const settled = await post("/settle", { ip: "192.0.2.77", policy: "day", hold, amount: 1 });
    expect(await settled.json()).toMatchObject({ was: "live", remaining: 9 });
  });

  it("are counted at their owner before they are answered, in any mode", async () => {
    const config = parseConfig({
      TOKEN: "reads",
      POLICIES: [{ name: "later", limit: 10, window: "1d", mode: "after" }],
      DEADLINE: "10s",
    });
    const app = api(caller, config);
    const key = fresh();
    const reserving = Array.from({ length: 5 }, () =>
      answer(
        app.request("/reserve", {
          method: "POST",
          headers: { Authorization: "Bearer reads" },
          body: JSON.stringify({ key, policy: "later", amount: 4 }),
        }),
      ),
    );
    const all = await Promise.all(reserving);
    expect(all.map(({ source }) => source)).toEqual(Array(5).fill("owner"));
    expect(all.filter(({ allowed }) => allowed)).toHaveLength(2);
  });

  it("are for every token", async () => {
    const config = parseConfig({
      TOKEN: "check:reads",
      POLICIES: [{ name: "day", limit: 10, window: "1d" }],
      DEADLINE: "10s",
    });
    const response = await api(caller, config).request("/reserve", {
      method: "POST",
      headers: { Authorization: "Bearer reads" },
      body: JSON.stringify({ key: fresh(), policy: "day", amount: 1 }),
    });
    expect(response.status).toBe(200);
  });

  it.each([
    ["/reserve", {}, "amount", "amount is required"],
    ["/reserve", { amount: 0 }, "amount", "amount must be a whole number from 1 to"],
    ["/reserve", { amount: 20_000 }, "amount", "amount must be at most 10000"],
    ["/reserve", { amount: 1, ttl: "2h" }, "ttl", "ttl must be a duration from 1ms to 1h"],
    ["/reserve", { amount: 1, ttl: 60 }, "ttl", "ttl must be a duration from 1ms to 1h"],
    ["/reserve", { amount: 1, cost: 1 }, "cost", "cost is not one of the fields"],
    ["/reserve", { amount: 1, requestId: "r" }, "requestId", "requestId is not one of"],
    ["/reserve", { amount: 1, algorithm: "concurrency" }, "algorithm", "algorithm must be another"],
    ["/settle", { hold: "weur.1" }, "amount", "amount is required"],
    ["/settle", { amount: 1 }, "hold", "hold is required"],
    ["/settle", { hold: "weur.1", amount: -1 }, "amount", "amount must be a whole number from 0"],
    ["/settle", { hold: "weur.1", amount: 1 }, "hold", "hold must be of this key under these"],
    ["/settle", { hold: "nonsense", amount: 1 }, "hold", "hold must be a hold as it was given"],
    ["/release", { hold: "weur.1" }, "hold", "hold must be of this key under these"],
    ["/release", { hold: "weur.1", amount: 1 }, "amount", "amount is not one of the fields"],
  ])("refuse %s of %j by the name of the field", async (path, fields, field, detail) => {
    const response = await post(path, { ...wide(), ...fields });
    expect(response.status).toBe(400);
    const problem = (await response.json()) as { detail: string };
    expect(problem).toMatchObject({ field });
    expect(problem.detail).toContain(detail);
  });

  it("refuse the hold of another key", async () => {
    const asked = wide();
    const { hold } = await answer(post("/reserve", { ...asked, amount: 2_000 }));
    const response = await post("/settle", { ...asked, key: fresh(), hold, amount: 1 });
    expect(await response.json()).toMatchObject({ field: "hold" });
    expect(await answer(post("/peek", asked))).toMatchObject({ remaining: 8_000 });
  });
});
