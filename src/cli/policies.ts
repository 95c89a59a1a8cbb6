/** The policies that a command is to try: those of a configuration, of a file, or of options. */
import { existsSync } from "node:fs";
import { InvalidError } from "../limit/misuse.ts";
import { type Policy, parsePolicy } from "../limit/policy.ts";
import { withBoundedDelay } from "../limit/waiting.ts";
import {
  type LimiterConfig,
  parseLimiterConfig,
  parsePoliciesVariable,
} from "../limiter-config.ts";
import { inOptions, type PolicyOptions } from "./options.ts";
import { hasConfiguration, readPolicyFile } from "./policy-file.ts";
import { UserError } from "./user-error.ts";

/** Policies, and the configuration that says who is a client. */
export interface Configured {
  /** What they come from, for the report. */
  source: string;
  policies: Policy[];
  config: LimiterConfig;
}

export interface TriedOptions extends PolicyOptions {
  path?: string;
}

/**
 * Returns the policy of the options, or else those of the configuration.
 *
 * @param file `--config`; default the one that wrangler would find
 * @throws {UserError} if neither names a policy, or an option breaks a rule
 * @throws {MisuseError} naming the field, the rule and the value
 */
export async function policiesOf(
  { limit, window, algorithm, burst, path }: TriedOptions,
  file?: string,
  env?: string,
): Promise<Configured> {
  const all = Object.entries({ limit, window, algorithm, burst, path });
  const given = all.filter(([, value]) => value !== undefined);
  if (given.length === 0) return configured(file, env);
  const source = given.map((pair) => pair.join("=")).join(",");
  try {
    return onePolicy(source, Object.fromEntries(given));
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
    throw new UserError(inOptions(error.message, error.field));
  }
}

/** Reads what `--against` names: a file with policies, or `limit=10,window=60s`. */
export async function policiesIn(text: string, env?: string): Promise<Configured> {
  if (existsSync(text) || !text.includes("=")) return configured(text, env);
  const fields = text.split(",").map((pair) => {
    const [name, value = ""] = pair.split(/=(.*)/s).map((part) => part.trim());
    return [name, /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value];
  });
  return onePolicy(text, Object.fromEntries(fields), "--against");
}

/** @param at path of the fields in an error */
function onePolicy(source: string, fields: object, at = ""): Configured {
  const policy = withBoundedDelay(parsePolicy({ window: "60s", ...fields }, at), at);
  return { source, policies: [policy], config: parseLimiterConfig({}) };
}

async function configured(given: string | undefined, env?: string): Promise<Configured> {
  if (!given && !hasConfiguration()) {
    throw new UserError("no wrangler.toml here: write --config FILE, or --limit 10 --window 60s");
  }
  const { file, variables } = await readPolicyFile(given, env);
  const policies = parsePoliciesVariable(variables);
  return { source: file, policies, config: parseLimiterConfig(variables) };
}
