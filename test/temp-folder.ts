/**
 * Gives a run of the tests a temporary folder of its own, and fails if a test leaves anything in it.
 * It also keeps the wrangler that tests start from asking the network and from writing logs.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
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
  const read = () => readdirSync(folder).filter((name) => !SHARED.test(name));
  return async () => {
    const endMs = Date.now() + STOPPED_MS;
    while (read().length > 0 && Date.now() < endMs) await sleep(50);
    const left = read();
    remove();
    if (left.length > 0) throw new Error(`tests left in the temporary folder: ${left.join(", ")}`);
  };
}
