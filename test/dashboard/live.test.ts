/** The live page, in a real browser: who may see it, what it shows of a load, and what it does. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WRITE_MS } from "../../src/events/event-owner.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { graveViolations, smallTargets, startBrowser } from "../browser.ts";
import { stateFolder } from "../dev-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";

const WAIT = { timeout: 60_000 };
const ATTACKER = "203.0.113.66";

const sent = { allowed: 0, denied: 0 };
const state = stateFolder();
let server: WorkerdServer;
let browser: Browser;

beforeAll(async () => {
  server = await start();
  browser = await startBrowser();
});

afterAll(async () => {
  await browser?.close();
  await server?.kill();
  state[Symbol.dispose]();
});

/** A page that nobody looks at any more would go on drawing. */
afterEach(async () => {
  for (const context of browser.contexts()) {
    for (const page of context.pages()) await page.goto("about:blank");
  }
});

/** @param port left out: one that is free */
function start(port = 0): Promise<WorkerdServer> {
  const POLICIES = JSON.stringify([{ limit: 30, window: "1d" }]);
  const vars = { POLICIES, TOKEN: "check:narrow dev", WATCH: "full" };
  return startGate(vars, { ...ALL_OBJECTS, folder: state.path, port });
}

async function open(): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage({ locale: "en-US" });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (said) => {
    if (said.type() === "error") errors.push(said.text());
  });
  await page.goto(`${server.url}_turnpike/`);
  return { page, errors };
}

/** Contexts of this browser share their cookies, so a page may have a session already. */
async function logIn(page: Page, token = "dev"): Promise<void> {
  await page.locator("#token:visible, #board:visible").first().waitFor();
  if (await page.locator("#board").isVisible()) return;
  await page.locator("#token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
}

async function request(ip: string, count: number): Promise<number[]> {
  const statuses = [];
  for (let n = 0; n < count; n++) {
    const response = await fetch(server.url, { headers: { "CF-Connecting-IP": ip } });
    statuses.push(response.status);
    if (response.status === 200) sent.allowed++;
    else sent.denied++;
    await response.body?.cancel();
  }
  return statuses;
}

/** What the row of a key says in some of its cells. */
async function row(page: Page, table: string, key: string, cells: number[]): Promise<string[]> {
  const texts = await page.locator(`#${table} tr[data-key="${key}"] td`).allTextContents();
  return cells.map((at) => texts[at] ?? "");
}

/** What the page must say of all requests. */
const told = () => [String(sent.allowed), String(sent.denied), "0"];

/** Allowed, denied and what shadow would have denied, under the policy of these tests. */
const decided = (page: Page) => row(page, "policies", "default", [2, 3, 4]);

async function sessionOf(token: string): Promise<string> {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(`${server.url}_turnpike/session`, { method: "POST", headers });
  return response.headers.get("Set-Cookie") ?? "";
}

describe("the live page", () => {
  it("lets an admin in, and nobody else", async () => {
    const { page, errors } = await open();
    await page.locator("#token").waitFor();
    expect(errors).toEqual([]);
    await logIn(page, "wrong");
    await page.getByText("This token is not valid.").waitFor();
    await logIn(page, "narrow");
    await page.getByText('needs a token with the scope "admin"').waitFor();
    await logIn(page);
    await page.locator("#board").waitFor();
    expect(errors).toEqual(["401", "403"].map((status) => expect.stringContaining(status)));
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByText("Logged out.").waitFor();
    await page.reload();
    await page.locator("#token").waitFor();
  });

  it("shows a load, and blocks the attacker at its top", async () => {
    const { page, errors } = await open();
    await logIn(page);
    await page.locator("#board").waitFor();
    const statuses = await request(ATTACKER, 60);
    await page.locator(`#clients tbody tr:first-child[data-key="${ATTACKER}"]`).waitFor(WAIT);
    for (let n = 0; n < 10; n++) await request(`203.0.113.${n}`, 3);
    const denied = statuses.filter((status) => status === 429).length;
    expect(denied).toBe(30);
    await expect.poll(() => decided(page), WAIT).toEqual(told());
    expect(await row(page, "policies", "default", [0])).toEqual([
      "default30 per day, fixed-window",
    ]);
    await page.getByText("by requests", { exact: true }).click();
    const top = page.locator("#clients tbody tr").first();
    expect(await top.getAttribute("data-key")).toBe(ATTACKER);
    expect(await row(page, "clients", ATTACKER, [0, 2, 3])).toEqual([
      ...[`${ATTACKER}default`, "30", "30"],
    ]);

    const other = "203.0.113.1";
    expect(await request(other, 1)).toEqual([200]);
    await page.getByRole("button", { name: `Block ${other}`, exact: true }).click();
    await page.getByText(`Block ${other}?`).waitFor();
    await page.getByLabel("for").selectOption("an hour");
    await page.locator("#ask-yes").click();
    await page.getByText(`${other}: block done`).waitFor();
    await expect.poll(() => request(other, 1), WAIT).toEqual([429]);

    await page.locator("#why-ip").fill(other);
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText(/^blocked by an operator for [\dhmins ]+ more$/).waitFor();
    expect(await page.locator("#why-answer").textContent()).toMatch(
      /^default\d+ of 30 left[a-z]+\/\d: \d+ of 30 spent in the window that ends in [\dhmins ]+$/,
    );
    expect(errors).toEqual([]);
  });

  it("has a new attacker at the top, though an earlier attack was larger, in every range", async () => {
    const { page, errors } = await open();
    await logIn(page);
    await page.locator("#board").waitFor();
    const [earlier, later] = ["198.51.100.1", "198.51.100.2"];
    const isFirst = (client: string) =>
      page.locator(`#clients tbody tr:first-child[data-key="${client}"]`).waitFor(WAIT);
    await request(earlier, 70);
    await isFirst(earlier);
    await expect.poll(() => row(page, "clients", earlier, [1]), WAIT).toEqual(["0"]);
    for (const [nth, range] of ["10 min", "1 hour", "24 hours"].entries()) {
      await page.getByText(range, { exact: true }).click();
      await request(later, 5);
      // The page shows this range, since it shows what has come meanwhile.
      const passed = String(5 * (nth + 1));
      await expect.poll(() => row(page, "clients", later, [2]), WAIT).toEqual([passed]);
      await isFirst(later);
      expect(await row(page, "clients", earlier, [2, 3])).toEqual(["30", "40"]);
    }
    expect(errors).toEqual([]);
  });

  it("is worked by the keyboard alone", async () => {
    const { page, errors } = await open();
    await logIn(page);
    await page.locator("#board").waitFor();
    const client = "203.0.113.2";
    // Each press of Tab moves the focus on. Rows may change places before it reaches their table.
    const tabTo = async (label: string) => {
      const focused = page.locator(":focus");
      for (let presses = 0; presses < 300; presses++) {
        await page.keyboard.press("Tab");
        if ((await focused.count()) === 0) continue;
        const said = await focused.evaluate((element) => {
          const { ariaLabel, textContent } = element;
          const label = element.closest("label");
          return ariaLabel ?? label?.textContent ?? textContent;
        });
        if (said?.trim() === label) return;
      }
      throw new Error(`Tab never comes to ${label}`);
    };
    await request(client, 1);
    await tabTo("10 min");
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => page.locator("#range :checked").inputValue()).toBe("1h");
    await page.keyboard.press("ArrowLeft");
    await page.getByRole("button", { name: `Why is ${client} denied?` }).waitFor(WAIT);
    await tabTo(`Why is ${client} denied?`);
    await page.keyboard.press("Enter");
    await page.getByText("nothing denies it now in weur", { exact: true }).waitFor();
    await tabTo("Block");
    await page.keyboard.press("Enter");
    await tabTo("Block");
    await page.keyboard.press("Enter");
    await page.getByText(/^blocked by an operator for/).waitFor();
    await expect.poll(() => request(client, 1), WAIT).toEqual([429]);
    await page.keyboard.press("Escape");
    // The focus is back where it was.
    const focus = () => page.locator(":focus").getAttribute("aria-label");
    await expect.poll(focus).toBe(`Why is ${client} denied?`);
    await tabTo("Log out");
    await page.keyboard.press("Enter");
    await page.getByText("Logged out.").waitFor();
    await page.keyboard.type("dev");
    await page.keyboard.press("Enter");
    await page.locator("#board").waitFor();
    expect(errors).toEqual([]);
  });

  it("is read by screen readers, in both colour schemes, on a phone too", async () => {
    const { page } = await open();
    await logIn(page);
    await page.locator("#board").waitFor();
    await page.locator("#clients tbody tr").first().waitFor();
    expect(await graveViolations(page)).toEqual([]);
  });

  it("shows what a client hides in its key", async () => {
    const { page, errors } = await open();
    await logIn(page);
    await page.locator("#board").waitFor();
    const key = "\u202e<b>\u0000evil";
    const init = { method: "POST", headers: { Authorization: "Bearer dev" } };
    const body = JSON.stringify({ key, policy: "default" });
    await (await fetch(`${server.url}_turnpike/v1/check`, { ...init, body })).text();
    sent.allowed++;
    await page.getByText(String.raw`\u202e<b>\u0000evil`).first().waitFor(WAIT);
    expect(errors).toEqual([]);
  });

  it("has nothing on a phone that a finger misses", async () => {
    await request("203.0.113.3", 1);
    const small = await smallTargets(browser, `${server.url}_turnpike/`, async (page) => {
      await logIn(page);
      await page.getByRole("button", { name: "Why is 203.0.113.3 denied?" }).click(WAIT);
      await page.locator("#why-answer li").first().waitFor();
    });
    expect(small).toEqual([]);
  });

  it("takes a session only from its own page, as long as it lasts", async () => {
    const cookie = await sessionOf("dev");
    expect(cookie).toMatch(
      /^turnpike=\d+\.[\da-f]{64}; Path=\/_turnpike; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    const [pair = ""] = cookie.split(";");
    const statusOf = async (session: string, site: string) => {
      const headers = { Cookie: session, "Sec-Fetch-Site": site };
      return (await fetch(`${server.url}_turnpike/v1/ring`, { headers })).status;
    };
    expect(await statusOf(pair, "same-origin")).toBe(200);
    expect(await statusOf(pair, "cross-site")).toBe(401);
    expect(await statusOf(pair, "same-site")).toBe(401);
    const [, until = ""] = /=(\d+)/.exec(pair) ?? [];
    const longer = pair.replace(until, String(Number(until) + 1));
    const expired = pair.replace(until, "1700000000");
    for (const forged of [longer, expired, "turnpike=1.2", `${pair}0`]) {
      expect(await statusOf(forged, "same-origin")).toBe(401);
    }
    expect(await sessionOf("narrow")).toBe("");
  });

  it("names a range that there is not", async () => {
    const headers = { Authorization: "Bearer dev" };
    const response = await fetch(`${server.url}_turnpike/live?range=1y`, { headers });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { detail: 'range must be "10m", "1h" or "24h", got "1y"', field: "range" },
    ]);
  });

  it("goes on after the server was restarted", async () => {
    const { page } = await open();
    await logIn(page);
    await page.locator("#board").waitFor();
    const { port } = new URL(server.url);
    // What was counted before is on disk by then.
    await sleep(2 * WRITE_MS);
    await server.stop();
    await page.getByText("connection lost, trying again").waitFor(WAIT);
    server = await start(Number(port));
    await page.locator("#state.live").waitFor(WAIT);
    await expect.poll(() => decided(page), WAIT).toEqual(told());
  });
});
