/** Who is measured: each a Worker of its own, built as it would be deployed. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { BuildOptions } from "esbuild";
import { alone } from "../once-a-run.ts";
import type { WorkloadName } from "./workloads.ts";

export interface Contender {
  name: string;
  /** The Worker's source, beside the others in `contenders/`. */
  file: string;
  /** Has it objects of a class `RateLimiter`? */
  hasObjects: boolean;
  /** And one of a class `Membership`? */
  hasMembership?: boolean;
  /** And one of a class `Events`? */
  hasEvents?: boolean;
  vars: Record<string, string>;
}

/** Nobody limits: the ratio of all others is to it. */
export const FLOOR = "floor";
/** One RPC a request and nothing else. */
export const BARE_RPC = "bare-rpc";
/** Who the others are compared with. */
export const TURNPIKE = "turnpike";

/**
 * Cloudflare's native binding is not among them: bare workerd has none, and the one of
 * `wrangler dev` is a simulation in JavaScript.
 */
export const CONTENDERS: readonly Contender[] = [
  { name: FLOOR, file: "floor.ts", hasObjects: false, vars: {} },
  { name: BARE_RPC, file: "bare-rpc.ts", hasObjects: true, vars: {} },
  { name: TURNPIKE, ...turnpikeOf("4") },
  { name: "turnpike-1", ...turnpikeOf("1") },
  { name: "hono-rate-limiter", file: "hono-rate-limiter.ts", hasObjects: true, vars: {} },
  { name: "object-per-ip", file: "object-per-ip.ts", hasObjects: true, vars: {} },
];

/** What nobody can be faster than, as far as a limiter answers like Turnpike. */
const SHARED_RPC = { name: "shared-rpc", file: "shared-rpc.ts", hasObjects: true, vars: {} };
const FIELDS_ONLY = { name: "fields-only", file: "fields-only.ts", hasObjects: false, vars: {} };
const AFTER = { name: "turnpike-after", ...turnpikeOf("4", { MODE: "after" }) };
const FIXED_429 = { name: "fixed-429", file: "fixed-429.ts", hasObjects: false, vars: {} };

/** Each has a handler of 40 ms, and all but the first objects that answer after 30 ms. */
export const FAR_CONTENDERS: readonly Contender[] = [
  ["none", "none"],
  [BARE_RPC, "rpc"],
  ["before", "before"],
  ["alongside", "alongside"],
  ["after", "after"],
].map(([name = "", MODE = ""]) => ({
  ...{ name, file: "far.ts", hasObjects: true, hasMembership: true },
  vars: { HIGH_WATER: "0", MODE },
}));

export function contendersOf(work: WorkloadName): Contender[] {
  const isDenied = work === "c" || work === "d";
  return [...CONTENDERS, ...(isDenied ? [FIXED_429] : [SHARED_RPC, FIELDS_ONLY, AFTER])];
}

/** A ring that may change, and does not while it is measured. */
function turnpikeOf(owners: string, others: Record<string, string> = {}): Omit<Contender, "name"> {
  const vars = { OWNERS: owners, HIGH_WATER: "0", ...others };
  return { file: "turnpike.ts", hasObjects: true, hasMembership: true, vars };
}

/** Bundles a contender's Worker into one module and returns its text. */
export function bundle({ file }: Pick<Contender, "file">): Promise<string> {
  return bundleFile(join(import.meta.dirname, "contenders", file));
}

/**
 * Bundles the Worker in a file into one module and returns its text.
 *
 * @param minify as it is when deployed; else its names can be read in a profile
 */
export function bundleFile(path: string, minify = false): Promise<string> {
  return bundled({ entryPoints: [resolve(path)] }, minify);
}

/**
 * Bundles a Worker's text.
 *
 * @param folder where its imports begin
 */
export function bundleText(contents: string, folder: string, minify = false): Promise<string> {
  return bundled({ stdin: { contents, resolveDir: resolve(folder), loader: "ts" } }, minify);
}

/** In a run of the tests, which sets `BUNDLES`, each Worker is bundled once for all files. */
async function bundled(entry: BuildOptions, minify: boolean): Promise<string> {
  const folder = process.env.BUNDLES;
  if (!folder) return bundledNow(entry, minify);
  const id = createHash("sha256")
    .update(JSON.stringify([entry, minify]))
    .digest("hex");
  const file = join(folder, `${id}.js`);
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    await alone(`${file}.lock`, async () => {
      if (existsSync(file)) return;
      writeFileSync(`${file}.part`, await bundledNow(entry, minify));
      renameSync(`${file}.part`, file);
    });
  }
  return readFileSync(file, "utf8");
}

async function bundledNow(entry: BuildOptions, minify: boolean): Promise<string> {
  // Loaded where it is needed: most files find what they need bundled.
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    ...entry,
    bundle: true,
    write: false,
    minify,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    loader: { ".html": "text" },
    logLevel: "error",
  });
  return outputFiles?.[0]?.text ?? "";
}
