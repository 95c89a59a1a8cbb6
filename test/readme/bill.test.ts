/** The example in the README of the events: what customers called, and the bill for it. */
import { describe, expect, it } from "vitest";
import readme from "../../src/events/README.md?raw";
import { events } from "../../src/events.ts";
import app from "./bill.ts";
import source from "./bill.ts?raw";

describe("the README of the events", () => {
  it("shows the code that is tested here", () => {
    expect(/^```ts\n(.*?)^```$/ms.exec(readme)?.[1]).toBe(source);
  });

  it("bills each customer for its calls of the month", async () => {
    for (const [customer, calls] of Object.entries({ "c-17": 7, "c-18": 2, "c-19": 4 })) {
      for (let n = 0; n < calls; n++) {
        await app.request(n % 2 ? "/search" : "/list", { headers: { "X-Customer": customer } });
      }
    }
    const month = { from: new Date(Date.now() - 30 * 86_400_000) };
    const bill = () => events().top("api", ["customer"], 10_000, month);
    expect(readme).toContain('events().top("api", ["customer"], 10_000, {');
    const counted = async () => (await bill()).total;
    await expect.poll(counted, { timeout: 60_000 }).toBe(13);
    expect(await bill()).toMatchObject({
      other: 0,
      entries: [
        { dimensions: { customer: "c-17" }, count: 7, error: 0 },
        { dimensions: { customer: "c-19" }, count: 4, error: 0 },
        { dimensions: { customer: "c-18" }, count: 2, error: 0 },
      ],
    });
    const searches = await events().series("api", { customer: "c-17", endpoint: "search" }, month);
    expect(searches.reduce((sum, { count }) => sum + count, 0)).toBe(3);
  });

  it.each(["x".repeat(300), `${"x".repeat(255)}😀`])(
    "answers a client that sends %s",
    async (text) => {
      expect((await app.request(`/${encodeURIComponent(text)}`)).status).toBe(200);
    },
  );
});
