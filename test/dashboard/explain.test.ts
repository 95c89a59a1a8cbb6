/** What the live page says of one client, in a real browser: under each algorithm. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startBrowser } from "../browser.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";

const POLICIES = [
  { name: "fixed", limit: 5, window: "1d" },
  { name: "first", limit: 5, window: "15m", start: "first" },
  { name: "sliding", limit: 5, window: "1h", algorithm: "sliding-window" },
  { name: "log", limit: 5, window: "15m", algorithm: "sliding-log" },
  { name: "tokens", limit: 20, window: "1s", algorithm: "token-bucket", burst: 300 },
  { name: "slow", limit: 1, window: "1s", algorithm: "token-bucket", burst: 30 },
  { name: "leaky", limit: 1000, window: "1s", algorithm: "leaky-bucket", burst: 30 },
  { name: "parallel", limit: 2, window: "30s", algorithm: "concurrency" },
  { name: "banned", limit: 5, window: "1d", deny: ["192.0.2.66"] },
  { name: "keyed", limit: 5, window: "1d", key: ["header:X-Api-Key"] },
  { name: "pair", limit: 5, window: "1d", key: ["ip", "method"] },
].map((policy) => ({ path: `/${policy.name}`, ...policy }));

let server: WorkerdServer;
let browser: Browser;

beforeAll(async () => {
  const vars = { POLICIES: JSON.stringify(POLICIES), TOKEN: "dev", WATCH: "full" };
  server = await startGate(vars, ALL_OBJECTS);
  browser = await startBrowser();
});

afterAll(async () => {
  await browser?.close();
  await server?.kill();
});

/** @param language what the browser says its own is */
async function open(language = "en-US"): Promise<Page> {
  const page = await browser.newPage({ locale: "en-US" });
  await page.addInitScript((value) => {
    Object.defineProperty(Navigator.prototype, "language", { get: () => value });
  }, language);
  await page.goto(`${server.url}_turnpike/`);
  // Pages of this browser share their cookies, so there may be a session already.
  await page.locator("#token:visible, #board:visible").first().waitFor();
  if (await page.locator("#token").isVisible()) {
    await page.locator("#token").fill("dev");
    await page.getByRole("button", { name: "Log in" }).click();
  }
  await page.locator("#board").waitFor();
  return page;
}

/** What the page says of a client under each policy. */
async function explained(page: Page, client: string): Promise<string[]> {
  await page.locator("#why-ip").fill(client);
  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator("#why-answer li").first().waitFor();
  return page.locator("#why-answer li").allTextContents();
}

async function visit(path: string, client = "192.0.2.1"): Promise<number> {
  const response = await fetch(server.url + path, { headers: { "CF-Connecting-IP": client } });
  await response.body?.cancel();
  return response.status;
}

it("shows what is left of all that a policy holds, and times as long as they are", async () => {
  for (const { name } of POLICIES) expect(await visit(name)).toBe(200);
  expect(await visit("banned", "192.0.2.66")).toBe(403);
  const page = await open();
  const said = await explained(page, "192.0.2.1");
  const rest = "left[a-z]+/\\d: ";
  expect(said).toEqual(
    [
      `fixed4 of 5 ${rest}1 of 5 spent in the window that ends in [\\dhmins ]+`,
      `first4 of 5 ${rest}1 of 5 spent in the window that ends in (?:15 min|14 min \\d+ s)`,
      `sliding4 of 5 ${rest}1 spent in this window and 0 in the one before it, weighed by the [\\dmins ]+ of 1 h that still overlap, against 5`,
      `log4 of 5 ${rest}1 of 5 spent within one window, the oldest for another (?:15 min|14 min \\d+ s)`,
      `tokens300 of 300 ${rest}300.000 of 300 tokens, one more each 50ms`,
      `slow(29|30) of 30 ${rest}(29|30)\\.\\d{3} of 30 tokens, one more each 1 s`,
      `leaky31 of 31 ${rest}0.000 of 31 in the bucket, one leaves each 1ms`,
      `parallel2 of 2 ${rest}0 of 2 in flight`,
      `banned4 of 5 ${rest}1 of 5 spent in the window that ends in [\\dhmins ]+`,
      "keyedcounts by header:X-Api-Key, so an address alone says nothing",
      "paircounts by ip, method, so an address alone says nothing",
    ].map((text) => expect.stringMatching(new RegExp(`^${text}$`))),
  );
  expect(await page.locator("#why-block").textContent()).toBe("nothing denies it now in weur");
  await page.getByRole("button", { name: "Close" }).click();

  // As the top list and the command line name a key of several parts.
  const pair = await explained(page, '["192.0.2.1","GET"]');
  expect(pair.filter((text) => text.startsWith("pair4 of 5 left"))).toHaveLength(1);
  await page.getByRole("button", { name: "Close" }).click();

  expect(await explained(page, "192.0.2.66")).toContain("banneddeny refuses it with 403");
  const summary = page.locator("#why-block.denied");
  expect(await summary.textContent()).toBe("refused with 403 by deny of banned");
});

it("draws its chart in a browser whose language is no language tag", async () => {
  const page = await open("en-US@posix");
  await page.locator("#chart canvas").waitFor();
  await page.close();
});
