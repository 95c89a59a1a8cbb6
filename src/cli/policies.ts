/** The policies that a command is to try: those of a configuration, of a file, or of options. */
import { existsSync } from "node:fs";
import { InvalidError } from "../limit/misuse.ts";
import { parsePolicies } from "../limit/policies.ts";
import type { Policy } from "../limit/policy.ts";
import {
  type LimiterConfig,
  parseLimiterConfig,
  parsePoliciesVariable,
} from "../limiter-config.ts";
import { hasConfiguration, readPolicyFile } from "./policy-file.ts";
import { UserError } from "./user-error.ts";

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

/** Reads a file with policies, or `limit=10,window=60s`. */
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
  if (!given && !hasConfiguration()) {
    throw new UserError("no wrangler.toml here: write --config FILE, or --limit 10 --window 60s");
  }
  const { file, variables } = await readPolicyFile(given, env);
  const policies = parsePoliciesVariable(variables);
  return { source: file, policies, config: parseLimiterConfig(variables) };
}
