/** A Chromium that comes in an npm package, so that nothing need be installed beside it. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import chromium from "@sparticuz/chromium";
import axe from "axe-core";
import { type Browser, type Page, chromium as playwright } from "playwright-core";
import { alone } from "./once-a-run.ts";

export async function startBrowser(): Promise<Browser> {
  // Without WebGL, it draws with less work.
  chromium.setGraphicsMode = false;
  return playwright.launch({
    // Its own choice of arguments would let every page read every answer.
    args: [...chromium.args.filter((arg) => arg !== "--disable-web-security"), "--disable-gpu"],
    executablePath: await unpacked(),
  });
}

const WIDTHS = [390, 820, 1_440];

interface Violation {
  id: string;
  impact: string;
}

/** Runs in the page. All that axe-core returns would take longer to come out than to be found. */
async function findViolations(): Promise<Violation[]> {
  const { violations } = await Reflect.get(globalThis, "axe").run({ resultTypes: ["violations"] });
  return (violations as Violation[]).map(({ id, impact }) => ({ id, impact }));
}

/** Returns what axe-core finds serious or critical, in both colour schemes, on a phone and wider. */
export async function graveViolations(page: Page): Promise<string[]> {
  const grave: string[] = [];
  await page.evaluate(axe.source);
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of WIDTHS) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      const violations = await page.evaluate(findViolations);
      for (const { id, impact } of violations) {
        if (/serious|critical/.test(impact)) grave.push(`${id} at ${width} px, ${colorScheme}`);
      }
    }
  }
  return grave;
}

/** Returns what a finger would miss: controls that are less than 44 px high, on a phone. */
export async function smallTargets(
  browser: Browser,
  url: string,
  before: (page: Page) => Promise<void>,
): Promise<string[]> {
  const viewport = { width: 390, height: 844 };
  const context = await browser.newContext({ viewport, hasTouch: true, isMobile: true });
  const page = await context.newPage();
  await page.goto(url);
  await before(page);
  const heights = await page
    .locator("button:visible, select:visible, summary:visible, label:has(input):visible")
    .evaluateAll((all) =>
      all.map((each) => [each.textContent, each.getBoundingClientRect().height]),
    );
  // Closing the context would end a browser that is one process.
  await page.goto("about:blank");
  return heights.flatMap(([text, height]) =>
    Number(height) < 44 ? [`${text}: ${height} px`] : [],
  );
}

/** Unpacks it once a run. Two files that did so at once would start one that is half written. */
function unpacked(): Promise<string> {
  return alone(join(tmpdir(), "unpacking"), () => chromium.executablePath());
}
