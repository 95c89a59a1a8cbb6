/** A Chromium that comes in an npm package, so that nothing need be installed beside it. */
import { mkdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import chromium from "@sparticuz/chromium";
import { type Browser, chromium as playwright } from "playwright-core";

export async function startBrowser(): Promise<Browser> {
  return playwright.launch({
    // Its own choice of arguments would let every page read every answer.
    args: chromium.args.filter((arg) => arg !== "--disable-web-security"),
    executablePath: await unpacked(),
  });
}

/** Unpacks it once a run. Two files that did so at once would start one that is half written. */
async function unpacked(): Promise<string> {
  const lock = join(tmpdir(), "unpacking");
  while (!isMade(lock)) await sleep(50);
  try {
    return await chromium.executablePath();
  } finally {
    rmdirSync(lock);
  }
}

function isMade(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
