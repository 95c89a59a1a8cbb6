/** Pages of another site, in a real browser, that call an API behind the gate. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startBrowser } from "../browser.ts";
import { startGate } from "./gate-server.ts";

const POLICIES = [
  { name: "three", path: "/three/*", key: ["path"], limit: 3, window: "1d" },
  { name: "named", path: "/named/*", method: ["OPTIONS", "GET"], limit: 1, window: "1d" },
  { name: "listed", path: "/listed", limit: 9, window: "1d", deny: ["192.0.2.0/24"] },
];

let api: Server;
let pages: Server;
let gate: WorkerdServer;
let browser: Browser;
let received: IncomingMessage[] = [];

beforeAll(async () => {
  api = createServer((incoming, outgoing) => {
    received.push(incoming);
    const { origin = "" } = incoming.headers;
    if (incoming.url?.endsWith("/closed")) return void outgoing.end("closed");
    outgoing.setHeader("Access-Control-Allow-Origin", origin).setHeader("Vary", "Origin");
    outgoing.setHeader("Access-Control-Allow-Credentials", "true");
    outgoing.setHeader("Access-Control-Expose-Headers", "X-Own").setHeader("X-Own", "1");
    if (incoming.method !== "OPTIONS") return void outgoing.end("answer");
    outgoing.setHeader("Access-Control-Allow-Headers", "X-Custom");
    outgoing.setHeader("Access-Control-Allow-Methods", "PUT").writeHead(204).end();
  });
  pages = createServer((incoming, outgoing) => {
    if (incoming.url?.startsWith("/to/")) {
      const origin = incoming.headers.origin ?? "";
      outgoing.setHeader("Access-Control-Allow-Origin", origin);
      outgoing.setHeader("Access-Control-Allow-Credentials", "true");
      return void outgoing.writeHead(302, { Location: gate.url + incoming.url.slice(4) }).end();
    }
    outgoing.setHeader("Content-Type", "text/html").end("<!doctype html><title>Page</title>");
  });
  for (const server of [api, pages]) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  gate = await startGate({ ORIGIN: urlOf(api), POLICIES: JSON.stringify(POLICIES) });
  browser = await startBrowser();
});

afterAll(async () => {
  await browser.close();
  await gate.stop();
  for (const server of [api, pages]) {
    server.closeAllConnections();
    server.close();
  }
});

beforeEach(() => {
  received = [];
});

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Seen {
  status: number | string;
  retryAfter?: string | null;
  rateLimit?: string | null;
  policy?: string | null;
  own?: string | null;
  text?: string;
}

/** Calls the gate from a page of another origin, several times one after the other. */
async function fetchFromPage(
  path: string,
  init: object = {},
  times = 1,
  { url } = gate,
): Promise<Seen[]> {
  const page = await browser.newPage();
  await page.goto(`${urlOf(pages).replace("127.0.0.1", "localhost")}/`);
  const script = `(async () => {
    const seen = [];
    for (let n = 0; n < ${times}; n++) {
      try {
        const response = await fetch(${JSON.stringify(`${url}${path}`)}, ${JSON.stringify(init)});
        const { status, headers } = response;
        const [retryAfter, rateLimit, policy, own] =
          ["Retry-After", "RateLimit", "RateLimit-Policy", "X-Own"].map((name) => headers.get(name));
        seen.push({ status, retryAfter, rateLimit, policy, own, text: await response.text() });
      } catch (error) {
        seen.push({ status: String(error) });
      }
    }
    return seen;
  })()`;
  // The page stays open: this browser ends with its last page.
  return (await page.evaluate(script)) as Seen[];
}

/** Asks without a browser, from an address of its own. */
function ask(path: string, headers: Record<string, string> = {}, method = "GET") {
  return fetch(`${gate.url}${path}`, { method, headers });
}

const PREFLIGHT = {
  Origin: "https://app.example",
  "Access-Control-Request-Method": "PUT",
  "Access-Control-Request-Headers": "x-custom",
};

describe("a page of another site", () => {
  it.each([
    ["simple", {}],
    ["with-credentials", { credentials: "include" }],
    ["preflighted", { method: "PUT", headers: { "X-Custom": "1" }, body: "x" }],
    ["both", { method: "PUT", headers: { "X-Custom": "1" }, credentials: "include" }],
  ] as const)("reads the refusal and the fields of %s requests", async (name, init) => {
    const seen = await fetchFromPage(`three/${name}`, init, 6);
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 200, 429, 429, 429]);
    for (const [n, each] of seen.entries()) {
      const left = Math.max(0, 2 - n);
      expect(each.rateLimit).toMatch(new RegExp(`^"three";r=${left};t=\\d+$`));
      expect(each.policy).toBe('"three";q=3;w=86400');
      if (n < 3) expect([each.own, each.text]).toEqual(["1", "answer"]);
      else {
        expect(each.retryAfter).toBe(/t=(\d+)/.exec(each.rateLimit ?? "")?.[1]);
        expect(JSON.parse(each.text ?? "")).toMatchObject({ status: 429 });
      }
    }
  });

  it("reads the refusal with credentials where another site redirects to the gate", async () => {
    // The browser then sends `Origin: null`.
    const redirecting = { ...gate, url: `${urlOf(pages)}/to/` };
    const init = { credentials: "include" };
    const seen = await fetchFromPage("three/redirected", init, 4, redirecting);
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
    expect(seen[3]?.retryAfter).toMatch(/^\d+$/);
  });

  it("reads a 502 of the gate", async () => {
    const down = await startGate({ ORIGIN: "http://127.0.0.1:1" });
    const [seen] = await fetchFromPage("x", {}, 1, down);
    await down.stop();
    expect(seen?.status).toBe(502);
    expect(seen?.rateLimit).toMatch(/^"default";r=9;/);
  });

  it("does not read what the origin keeps to itself", async () => {
    const [seen] = await fetchFromPage("three/closed");
    expect(seen?.status).toMatch(/^TypeError: Failed to fetch/);
  });
});

describe("a preflight", () => {
  it("costs no quota, has no fields, and is not refused", async () => {
    for (let n = 0; n < 20; n++) {
      const response = await ask("three/preflight", PREFLIGHT, "OPTIONS");
      expect(response.status).toBe(204);
      expect(response.headers.get("RateLimit")).toBeNull();
    }
    expect((await ask("three/preflight")).headers.get("RateLimit")).toMatch(/r=2;/);
    expect(new Set(received.map(({ method }) => method))).toEqual(new Set(["OPTIONS", "GET"]));
  });

  it("counts like another request if no browser would send it", async () => {
    const odd: Record<string, string>[] = [
      { Origin: "https://app.example" },
      { "Access-Control-Request-Method": "PUT" },
      { ...PREFLIGHT, Cookie: "a=1" },
      { ...PREFLIGHT, Authorization: "Bearer x" },
      { ...PREFLIGHT, "X-HTTP-Method-Override": "DELETE" },
    ];
    for (const [n, headers] of odd.entries()) {
      const response = await ask(`three/odd-${n}`, headers, "OPTIONS");
      expect(response.headers.get("RateLimit"), JSON.stringify(headers)).toMatch(/r=2;/);
    }
    const response = await ask("three/odd-post", PREFLIGHT, "POST");
    expect(response.headers.get("RateLimit")).toMatch(/r=2;/);
  });

  it("has a limit of its own, by address", async () => {
    const from = (ip: string) =>
      ask("three/flood", { ...PREFLIGHT, "CF-Connecting-IP": ip }, "OPTIONS");
    const statuses: number[] = [];
    // A minute may end in between, so more than one quota, and fewer than two.
    for (let n = 0; n < 26; n++) {
      const some = await Promise.all(Array.from({ length: 50 }, () => from("203.0.113.66")));
      statuses.push(...some.map(({ status }) => status));
    }
    expect(statuses.filter((status) => status === 204).length).toBeLessThanOrEqual(1_200);
    expect(statuses).toContain(429);
    expect((await from("203.0.113.67")).status).toBe(204);
  });

  it("counts under a policy that names OPTIONS", async () => {
    const statuses = [];
    for (let n = 0; n < 2; n++) {
      statuses.push((await ask("named/x", PREFLIGHT, "OPTIONS")).status);
    }
    expect(statuses).toEqual([204, 429]);
  });
});

describe("a refusal", () => {
  it("names the origin that asks, or * for text that is no origin", async () => {
    const refused = (Origin: string) =>
      ask("listed", { Origin, "CF-Connecting-IP": "192.0.2.1" }).then(({ status, headers }) => [
        status,
        headers.get("Access-Control-Allow-Origin"),
        headers.get("Access-Control-Allow-Credentials"),
        headers.get("Vary"),
      ]);
    for (const page of ["https://app.example:8443", "null"]) {
      expect(await refused(page)).toEqual([403, page, "true", "Accept, Origin"]);
    }
    for (const odd of ["https://a.example/x", "a b", "https://a, https://b"]) {
      expect(await refused(odd)).toEqual([403, "*", null, "Accept, Origin"]);
    }
  });

  it("has no CORS headers if no page asks", async () => {
    const { headers } = await ask("listed", { "CF-Connecting-IP": "192.0.2.1" });
    expect([...headers.keys()].filter((name) => name.startsWith("access-"))).toEqual([]);
  });
});
