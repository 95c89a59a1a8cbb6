/** The policies that a command is to try: those of a configuration, of a file, or of options. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { InvalidError } from "../limit/misuse.ts";
import { parsePolicies } from "../limit/policies.ts";
import type { Policy } from "../limit/policy.ts";
import {
  type LimiterConfig,
  parseLimiterConfig,
  parsePoliciesVariable,
} from "../limiter-config.ts";
import { UserError } from "./user-error.ts";

/** wrangler's own, in its own order. */
const CONFIG_FILES = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];
/** Of a line that wrangler cannot read. */
const MAX_SHOWN_CHARS = 80;

/** Policies, and the configuration that says who is a client. */
export interface Configured {
  /** What they come from, for the report. */
  source: string;
  policies: Policy[];
  config: LimiterConfig;
}

/** The fields of one policy, as options of a command. */
export interface PolicyOptions {
  limit?: string;
  window?: string;
  algorithm?: string;
  burst?: string;
  path?: string;
}

/**
 * Returns the policy of the options, or else those of the configuration.
 *
 * @param file `--config`; default the one that wrangler would find
 * @throws {UserError} if neither names a policy
 * @throws {MisuseError} naming the field, the rule and the value
 */
export async function policiesOf(
  { limit, window, algorithm, burst, path }: PolicyOptions,
  file?: string,
  env?: string,
): Promise<Configured> {
  const given = { limit, window, algorithm, burst, path };
  if (Object.values(given).every((value) => value === undefined)) return configured(file, env);
  const source = Object.entries(given)
    .filter(([, value]) => value !== undefined)
    .map((pair) => pair.join("="));
  try {
    return { source: source.join(","), ...onePolicy(given) };
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
    throw new UserError(error.message.replace(/^policies\[0\]\./, "--"));
  }
}

/** Reads a configuration's file, a list of policies in JSON, or `limit=10,window=60s`. */
export async function policiesIn(text: string, env?: string): Promise<Configured> {
  if (existsSync(text) || !text.includes("=")) return configured(text, env);
  const fields = text.split(",").map((pair) => pair.split(/=(.*)/s).map((part) => part.trim()));
  return { source: text, ...onePolicy(Object.fromEntries(fields)) };
}

function onePolicy(fields: Record<string, string | undefined>): Omit<Configured, "source"> {
  const policy = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value]],
  );
  const policies = parsePolicies([{ window: "60s", ...Object.fromEntries(policy) }], "policies");
  return { policies, config: parseLimiterConfig({}) };
}

async function configured(given: string | undefined, env?: string): Promise<Configured> {
  if (!given && !CONFIG_FILES.some((name) => existsSync(name))) {
    throw new UserError("no wrangler.toml here: write --config FILE, or --limit 10 --window 60s");
  }
  const file = configFile(given);
  const list = listIn(file);
  const vars = list ? { POLICIES: list } : await variablesIn(file, env);
  return { source: file, policies: parsePoliciesVariable(vars), config: parseLimiterConfig(vars) };
}

/**
 * @param given the file. Default the one that wrangler finds.
 * @throws {UserError} if wrangler finds no file
 */
export function configFile(given: string | undefined): string {
  const file = given ?? CONFIG_FILES.find((name) => existsSync(name)) ?? "wrangler.toml";
  const stats = statSync(file, { throwIfNoEntry: false });
  if (!stats) throw new UserError(`${file}: no such file`);
  if (stats.isDirectory()) throw new UserError(`${file} is a directory: name a file in it`);
  // Of any other name, wrangler reads nothing and says nothing.
  if (/\.(?:toml|jsonc?)$/.test(file)) return file;
  throw new UserError(`${file} is no configuration: its name must end in .toml, .json or .jsonc`);
}

/** Returns the list in a file of JSON; undefined if the file has something else. */
function listIn(file: string): unknown[] | undefined {
  if (!file.endsWith(".json")) return undefined;
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Returns the variables of a configuration, as wrangler reads it.
 *
 * @throws {UserError} if wrangler refuses it
 */
export async function variablesIn(file: string, env: string | undefined): Promise<object> {
  const { unstable_readConfig: readConfig } = await import("wrangler").catch(() => {
    throw new UserError(
      "wrangler is not installed here, and it reads the configuration: npm install -D wrangler",
    );
  });
  try {
    const read = readConfig({ config: file, env }, { hideWarnings: true });
    const { vars, definedEnvironments } = read;
    // If the file has none at all, wrangler would take the variables of no environment.
    if (env === undefined || definedEnvironments?.length) return vars;
    throw new UserError(`${file} has no environment ${env}: leave --env out`);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { message, location } = error as Error & {
      location?: { line: number; lineText: string | null };
    };
    // wrangler's messages do not say where it is.
    const line = location?.lineText?.trim().slice(0, MAX_SHOWN_CHARS);
    const [where, what] = [location ? `:${location.line}` : "", line ? ` (${line})` : ""];
    throw new UserError(`${file}${where}: ${message}${what}`);
  }
}
