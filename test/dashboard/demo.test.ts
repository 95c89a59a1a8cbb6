import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { graveViolations, smallTargets, startBrowser } from "../browser.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";

/** How long a busy machine's browser may take to say what it refused. */
const WAIT = { timeout: 60_000 };

/** What to stop, even if only some of it started. */
const started = new AsyncDisposableStack();
let server: WorkerdServer;
let browser: Browser;

beforeAll(async () => {
  const POLICIES = JSON.stringify([{ limit: 10, window: "1d" }]);
  server = await startGate({ POLICIES }, ALL_OBJECTS);
  started.defer(() => server.stop());
  browser = await startBrowser();
  started.defer(() => browser.close());
});

afterAll(() => started.disposeAsync());

afterEach(async () => {
  for (const context of browser.contexts()) {
    for (const page of context.pages()) await page.goto("about:blank");
  }
});

async function open(ip: string): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage({ extraHTTPHeaders: { "CF-Connecting-IP": ip } });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    // The browser itself reports each 429.
    if (message.type() === "error" && !message.text().includes("429")) errors.push(message.text());
  });
  await page.goto(server.url);
  return { page, errors };
}

describe("the demo page", () => {
  it("shows the count going down, and the denial", async () => {
    const { page, errors } = await open("203.0.113.1");
    const remaining = page.locator("#remaining");
    expect(await remaining.textContent()).toBe("9");
    for (const left of ["8", "7"]) {
      await page.getByText("Send a request").click();
      await remaining.filter({ hasText: left }).waitFor();
    }
    await page.getByText("Send 20 at once").click();
    // A dot for each request, also for the two before. The log has the last 20 lines only.
    await page.locator("#dots li").nth(21).waitFor({ state: "attached" });
    expect(await remaining.textContent()).toBe("0");
    expect(await page.locator("#verdict").textContent()).toMatch(
      /^Denied. Try again in (?:\d+ h )?(?:\d+ (?:h|min|s) ?)+\.$/,
    );
    const lines = await page.locator("#log li").allTextContents();
    expect(lines.filter((line) => line.startsWith("200"))).toHaveLength(7);
    expect(errors).toEqual([]);
  });

  it("is the same page to a browser that is denied, with a countdown", async () => {
    const ip = "203.0.113.2";
    for (let n = 0; n < 10; n++) await fetch(server.url, { headers: { "CF-Connecting-IP": ip } });
    const { page, errors } = await open(ip);
    expect(await page.locator("#limit").textContent()).toBe("10 requests a day");
    expect(await page.locator("#owner").textContent()).toMatch(/by the owner [a-z]+\/\d\. /);
    expect(await page.locator("#verdict").textContent()).toMatch(
      /^Denied. Try again in (?:\d+ h )?(?:\d+ (?:h|min|s) ?)+\.$/,
    );
    expect(errors).toEqual([]);
  });

  it("says which owner counted, and compares the algorithms", async () => {
    const { page, errors } = await open("203.0.113.6");
    expect(await page.locator("#owner").textContent()).toMatch(
      /^Counted exactly, by the owner [a-z]+\/\d\. The answer took \d+ ms\.$/,
    );
    await page.locator("#traffic").selectOption("edge");
    await page.locator("#try-limit").fill("5");
    expect(await page.locator(".row b").allTextContents()).toEqual([
      ...["fixed-window", "sliding-window", "sliding-log", "token-bucket", "leaky-bucket"],
    ]);
    expect(await page.locator(".row:not(.axis) span").allTextContents()).toEqual([
      ...["10 of 10 pass", "5 of 10 pass", "5 of 10 pass", "6 of 10 pass"],
      expect.stringMatching(/^\d of 10 pass$/),
    ]);
    await page.getByText("token-bucket", { exact: true }).click();
    expect(await page.locator("#settings").textContent()).toContain(
      'limit = 5\nwindow = "1m"\nalgorithm = "token-bucket"',
    );
    expect(errors).toEqual([]);
  });

  it("is read by screen readers, in both colour schemes, on a phone too", async () => {
    const { page } = await open("203.0.113.7");
    await page.getByText("Send 20 at once").click();
    await page.locator("#log li").nth(19).waitFor({ state: "attached" });
    expect(await graveViolations(page)).toEqual([]);
  });

  it("has nothing on a phone that a finger misses", async () => {
    expect(await smallTargets(browser, server.url, async () => {})).toEqual([]);
  });

  it("runs and loads nothing but its own, in nobody's frame", async () => {
    const ask = async () => {
      const headers = { Accept: "text/html", "CF-Connecting-IP": "203.0.113.4" };
      const response = await fetch(server.url, { headers });
      return { headers: response.headers, html: await response.text() };
    };
    const { headers, html } = await ask();
    const policy = headers.get("Content-Security-Policy") ?? "";
    const [, nonce = ""] =
      /^default-src 'none'; script-src 'nonce-([\w-]{36})'; /.exec(policy) ?? [];
    expect(policy).toBe(
      `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data:; ` +
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    expect(Object.fromEntries(headers)).toMatchObject({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
    });
    // Attributes that would need 'unsafe-inline', and elements without the nonce.
    expect(html).not.toMatch(/\s(?:on\w+|style)=|javascript:/i);
    expect(html.match(/<(?:script|style)\b[^>]*>/g)).toEqual([
      `<style nonce="${nonce}">`,
      `<script nonce="${nonce}">`,
      `<script nonce="${nonce}">`,
    ]);
    const again = await ask();
    expect(again.headers.get("Content-Security-Policy")).not.toBe(policy);
  });

  it("cannot be framed, nor have a script put into it, in a browser", async () => {
    const { page } = await open("203.0.113.5");
    const violated = await page.evaluate(`new Promise((resolve) => {
      addEventListener("securitypolicyviolation", (event) => resolve(event.violatedDirective));
      const script = document.createElement("script");
      script.textContent = "document.title = 'injected'";
      document.body.append(script);
    })`);
    expect([violated, await page.title()]).toEqual(["script-src-elem", "Turnpike demo"]);

    const other = await browser.newPage();
    await other.setContent(`<iframe src="${server.url}"></iframe>`);
    const frames = () => other.frames().map((frame) => frame.url());
    await expect.poll(frames, WAIT).toEqual(["about:blank", "chrome-error://chromewebdata/"]);
  });

  it("tells a script the same in JSON", async () => {
    const response = await fetch(server.url, { headers: { "CF-Connecting-IP": "203.0.113.3" } });
    expect(await response.json()).toMatchObject({
      decision: { allowed: true, limit: 10, remaining: 9, source: "owner", exact: true },
    });
  });
});
