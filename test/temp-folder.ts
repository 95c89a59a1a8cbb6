/**
 * Gives a run of the tests a temporary folder of its own, and fails if a test leaves anything in it.
 * It also keeps the wrangler that tests start from asking the network and from writing logs.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * What a whole run shares: what `@sparticuz/chromium` unpacks, wrangler's memory of updates,
 * what Node has compiled of wrangler, and bundled Workers.
 */
const SHARED =
  /^(chromium|fonts|locales|lib.+\.so.*|vk_swiftshader_icd\.json|update-check|compiled|bundles)$/;

const QUIET = {
  /** Where a request is from; tests need no true answer. */
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

/** What Playwright makes for a browser. It gives up removing it if the browser still writes. */
const OF_BROWSER = /^playwright/;

/** How long runtimes that are being stopped may take to remove their files. */
const STOPPED_MS = 30_000;

export default function setup(): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "turnpike-tests-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  const compiled = join(folder, "compiled");
  const bundles = join(folder, "bundles");
  const made = { TMPDIR: folder, NODE_COMPILE_CACHE: compiled, BUNDLES: bundles };
  Object.assign(process.env, QUIET, made);
  const read = () => {
    const names = readdirSync(folder).filter((name) => !SHARED.test(name));
    const ended = names.filter((name) => OF_BROWSER.test(name) && !isNamed(name));
    for (const name of ended) rmSync(join(folder, name), { recursive: true, force: true });
    return names.filter((name) => !ended.includes(name));
  };
  return async () => {
    const endMs = Date.now() + STOPPED_MS;
    while (read().length > 0 && Date.now() < endMs) await sleep(50);
    const left = read();
    remove();
    if (left.length > 0) throw new Error(`tests left in the temporary folder: ${left.join(", ")}`);
  };
}

/** Whether a process is running that was started with that name; true where that can't be seen. */
function isNamed(name: string): boolean {
  try {
    return readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(name));
  } catch {
    return true;
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}
