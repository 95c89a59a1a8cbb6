import { describe, expect, it } from "vitest";
import { answer, app, fresh, post } from "./api-client.ts";

function sendBytes(path: string, body: Uint8Array) {
  const headers = { Authorization: "Bearer secret-1" };
  return app.request(path, { method: "POST", headers, body });
}

describe("the API", () => {
  const key = fresh();
  const refusals: [string, unknown, string, string][] = [
    ["no JSON", "{", "", 'input must be JSON, got "{"'],
    ["nothing", "", "", 'input must be JSON, got ""'],
    ["no object", [], "", "input must be an object, got []"],
    ["null", null, "", "input must be an object, got null"],
    ["no key", { policy: "day" }, "key", "key is required, got nothing"],
    [
      "a key and an address",
      { key, ip: "::1", policy: "day" },
      "ip",
      'ip must be left out where "key" is given, got "::1"',
    ],
    [
      "a network as an address",
      { ip: "2001:db8::/64", policy: "day" },
      "ip",
      'ip must be one address such as "192.0.2.7" or "2001:db8::1", got "2001:db8::/64"',
    ],
    [
      "a key of no parts",
      { key: [], policy: "day" },
      "key",
      "key must be text, or a list of 1 to 16 texts, got []",
    ],
    [
      "a part that is no text",
      { key: ["a", 1], policy: "day" },
      "key[1]",
      "key[1] must be text, got 1",
    ],
    ["an empty key", { key: "", policy: "day" }, "key", 'key must not be empty, got ""'],
    ["a key that is no text", { key: 5, policy: "day" }, "key", "key must be text, got 5"],
    [
      "a key over 1 KB",
      { key: "x".repeat(1_025), policy: "day" },
      "key",
      `key must be at most 1024 bytes, got "${"x".repeat(79)}…`,
    ],
    [
      "cost 0",
      { key, policy: "day", cost: 0 },
      "cost",
      "cost must be a whole number from 1 to 1000000000, got 0",
    ],
    [
      "cost -1",
      { key, policy: "day", cost: -1 },
      "cost",
      "cost must be a whole number from 1 to 1000000000, got -1",
    ],
    [
      "cost 1.5",
      { key, policy: "day", cost: 1.5 },
      "cost",
      "cost must be a whole number from 1 to 1000000000, got 1.5",
    ],
    [
      "an unknown policy",
      { key, policy: "week" },
      "policy",
      'policy must be one of "day", "hour", got "week"',
    ],
    [
      "an unknown field",
      { key, policy: "day", prize: 1 },
      "prize",
      "prize is not one of the fields key, ",
    ],
    [
      "no policy",
      { key },
      "policy",
      'policy must name a policy, or "limit" and "window" must be given, got nothing',
    ],
    ["a limit without window", { key, limit: 5 }, "window", "window is required, got nothing"],
    [
      "a bad limit",
      { key, limit: -1, window: "1s" },
      "limit",
      "limit must be a whole number from 0 to 1000000000, got -1",
    ],
    [
      "both kinds of policy",
      { key, policy: "day", limit: 5 },
      "limit",
      'limit must be left out where "policy" names one, got 5',
    ],
    [
      "one policy twice",
      { key, policies: [{ policy: "day" }, { policy: "day" }] },
      "policies[1]",
      'policies[1] must differ from those before it, got "day"',
    ],
    [
      "no policies",
      { key, policies: [] },
      "policies",
      "policies must be a list of 1 to 16 policies, got []",
    ],
    [
      "policies beside a policy",
      { key, policy: "day", policies: [{ policy: "day" }] },
      "policies",
      'policies must be left out, or hold what stands beside it, got [{"policy":"day"}]',
    ],
    ["no checks", { checks: [] }, "checks", "checks must be a list of 1 to 1000 checks, got []"],
    [
      "too many checks",
      { checks: Array(1_001).fill({ key: "k", policy: "day" }) },
      "checks",
      "checks must be a list of 1 to 1000 checks, got",
    ],
    [
      "one bad check among good ones",
      {
        checks: [
          { key, policy: "day" },
          { key, policy: "day", cost: 0 },
        ],
      },
      "checks[1].cost",
      "checks[1].cost must be a whole number from 1 to 1000000000, got 0",
    ],
  ];

  it.each(refusals)("refuses a body with a mistake: %s", async (_, body, field, detail) => {
    for (const path of ["/check", "/peek", "/reset"]) {
      const response = await post(path, body);
      expect(response.status).toBe(400);
      expect(response.headers.get("Content-Type")).toBe("application/problem+json");
      const problem = await answer<{ field: string; detail: string }>(response);
      expect(problem.field).toBe(field);
      expect(problem.detail.startsWith(detail), problem.detail).toBe(true);
    }
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 10 });
  });

  it("refuses a body that is not UTF-8, in every call", async () => {
    const texts: Record<string, string> = {
      "/check": '"policy":"day"',
      "/peek": '"policy":"day"',
      "/refund": '"policy":"day"',
      "/reset": '"policy":"day"',
      "/explain": '"policy":"day"',
      "/block": '"duration":"1m"',
      "/unblock": '"x":1',
    };
    for (const [path, fields] of Object.entries(texts)) {
      for (const byte of [0xe8, 0xe9, 0xc0, 0xff]) {
        const body = Uint8Array.from(`{"key":"r?",${fields}}`, (character) =>
          character === "?" ? byte : character.charCodeAt(0),
        );
        const response = await sendBytes(path, body);
        expect(response.status, path).toBe(400);
        expect(await response.json()).toMatchObject({
          field: "",
          detail: 'input must be in UTF-8, got "bytes that are not"',
        });
      }
    }
    const utf16 = Uint8Array.from(["{", "}"].flatMap((each) => [each.charCodeAt(0), 0]));
    expect((await sendBytes("/check", Uint8Array.of(0xff, 0xfe, ...utf16))).status).toBe(400);
  });

  it("takes a byte order mark, and a key beyond ASCII", async () => {
    const text = JSON.stringify({ key: `é${key}`, policy: "day" });
    const bytesOf = (body: string) => new TextEncoder().encode(body);
    expect(await answer(sendBytes("/check", bytesOf(`\ufeff${text}`)))).toMatchObject({
      remaining: 9,
    });
    expect(await answer(sendBytes("/peek", bytesOf(text)))).toMatchObject({ remaining: 9 });
  });

  it("refuses a body over 64 KB", async () => {
    const response = await post("/check", { key, policy: "day", pad: "x".repeat(65_536) });
    expect(response.status).toBe(413);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    const piece = new TextEncoder().encode(" ".repeat(1_024));
    const pieces = new ReadableStream({ pull: (controller) => controller.enqueue(piece) });
    const headers = { Authorization: "Bearer secret-1" };
    const endless = await app.request("/check", { method: "POST", headers, body: pieces });
    expect(endless.status).toBe(413);
  });

  it("refuses any other path, and another method", async () => {
    expect((await post("/cheque", {})).status).toBe(404);
    const headers = { Authorization: "Bearer secret-1" };
    const wrong = await app.request("/check", { headers });
    expect([wrong.status, wrong.headers.get("Allow")]).toEqual([405, "POST"]);
  });

  it("refuses a block or an unblock that makes no sense", async () => {
    const durations = ["", "0s", "367d", "ten minutes", 600];
    for (const duration of durations) {
      const response = await post("/block", { key, duration });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ field: "duration" });
    }
    expect((await post("/block", { key: "", duration: "1m" })).status).toBe(400);
    expect((await post("/block", { key })).status).toBe(400);
    expect((await post("/unblock", {})).status).toBe(400);
  });
});
