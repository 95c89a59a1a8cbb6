/** A Chromium that comes in an npm package, so that nothing need be installed beside it. */
import chromium from "@sparticuz/chromium";
import { type Browser, chromium as playwright } from "playwright-core";

export async function startBrowser(): Promise<Browser> {
  return playwright.launch({
    // Its own choice of arguments would let every page read every answer.
    args: chromium.args.filter((arg) => arg !== "--disable-web-security"),
    executablePath: await chromium.executablePath(),
  });
}
