/**
 * Packs Turnpike and runs the apps beside this file, each in a folder of its own with nothing but
 * what it installs: the packed tarball, and packages of the registry.
 *
 * usage: npm run test:apps -- [app ...]
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const APPS = import.meta.dirname;
const ROOT = join(APPS, "../..");
const folder = mkdtempSync(join(tmpdir(), "turnpike-apps-"));

/** Runs npm, and throws what it wrote if it fails. */
function npm(cwd: string, ...args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile("npm", args, { cwd }, (error, stdout, stderr) => {
      if (!error) return resolve();
      reject(new Error(`npm ${args.join(" ")} in ${cwd}:\n${stdout}${stderr}`));
    });
  });
}

async function run(app: string, tarball: string): Promise<void> {
  const at = join(folder, app);
  cpSync(join(APPS, app), at, { recursive: true });
  const install = ["install", "--include=dev", "--prefer-offline", "--no-audit", "--no-fund"];
  await npm(at, ...install, `../${tarball}`);
  await npm(at, "run", "check");
  await npm(at, "test");
  console.log(`${app}: passed`);
}

try {
  // What it packs was built by the install before.
  await npm(ROOT, "pack", "--ignore-scripts", "--pack-destination", folder);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) as string;
  const all = readdirSync(APPS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const named = process.argv.slice(2);
  const apps = named.length > 0 ? named : all.map(({ name }) => name);
  const ends = await Promise.allSettled(apps.map((app) => run(app, tarball)));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
