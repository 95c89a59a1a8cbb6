/**
 * Packs Turnpike and runs the apps beside this file, each in a folder of its own with nothing but
 * what it installs: the packed tarball, and packages of the registry.
 *
 * usage: node test/apps/run.ts [app ...]
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const APPS = import.meta.dirname;
const ROOT = join(APPS, "../..");
const folder = mkdtempSync(join(tmpdir(), "turnpike-apps-"));

/** Runs npm, and shows what it wrote if it fails. */
function npm(cwd: string, ...args: string[]): void {
  const { status, stdout, stderr } = spawnSync("npm", args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`npm ${args.join(" ")} in ${cwd}:\n${stdout}${stderr}`);
}

try {
  npm(ROOT, "pack", "--pack-destination", folder);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) as string;
  const all = readdirSync(APPS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const named = process.argv.slice(2);
  const apps = named.length > 0 ? named : all.map(({ name }) => name);
  for (const app of apps) {
    const startMs = Date.now();
    const at = join(folder, app);
    cpSync(join(APPS, app), at, { recursive: true });
    npm(
      at,
      "install",
      "--include=dev",
      "--prefer-offline",
      "--no-audit",
      "--no-fund",
      `../${tarball}`,
    );
    npm(at, "run", "check");
    npm(at, "test");
    console.log(`${app}: passed in ${Math.round((Date.now() - startMs) / 1_000)} s`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
