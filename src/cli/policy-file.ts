/**
 * Reads the policies of a file, for every command that takes one: a configuration of wrangler, or a
 * file with nothing but policies. Such a file is a list in JSON, `[[policies]]` in TOML, or an
 * answer of the API, with the list under `policies`.
 */
import { isUtf8 } from "node:buffer";
import { existsSync, readFileSync, statSync } from "node:fs";
import { UserError } from "./user-error.ts";

/** The names that wrangler looks for, in its order. */
const CONFIG_FILES = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];
/** The most that is shown of a line that wrangler cannot read. */
const MAX_SHOWN_CHARS = 80;

/** Names and list indices, from the top of the file. */
export type FieldPath = readonly (string | number)[];

export interface PolicyFile {
  file: string;
  text: string;
  /** What a Worker would read. A file with nothing but policies has no other variable. */
  variables: { POLICIES?: unknown };
  /** Where the variables stand in the file. */
  scope: FieldPath;
  /** Where the policies stand. */
  place: FieldPath;
  /** True for a configuration that names a Worker's code. The policies may be in that code. */
  hasCode: boolean;
}

/** Returns true if this folder has a configuration that wrangler finds. */
export function hasConfiguration(): boolean {
  return CONFIG_FILES.some((name) => existsSync(name));
}

/**
 * Reads a file, and fails if it has no policies: a command must not try the default in their place.
 *
 * @param given the file; default the configuration that wrangler finds
 * @throws {UserError} if it cannot be read, or has no policies
 */
export async function readPolicyFile(
  given: string | undefined,
  env: string | undefined,
): Promise<PolicyFile> {
  const read = await readConfiguration(given, env);
  if (read.variables.POLICIES === undefined) throw new UserError(`${read.file}: ${noneIn(read)}`);
  return read;
}

/** Says that a file has no policies. */
export function noneIn({ scope }: Pick<PolicyFile, "scope">): string {
  return `no policies in it: write POLICIES under [${scope.join(".")}], [[policies]], or a list in JSON`;
}

/**
 * Reads a file that need not have policies, such as an app's configuration.
 *
 * @throws {UserError} if it cannot be read
 */
export async function readConfiguration(
  given: string | undefined,
  env: string | undefined,
): Promise<PolicyFile> {
  const file = configFile(given);
  const text = readText(file).replace(/^\ufeff/, "");
  const content = await contentOf(file, text);
  const { main, policies, POLICIES = policies } = Object(content) as Record<string, unknown>;
  const scope = env === undefined ? ["vars"] : ["env", env, "vars"];
  const read = { file, text, scope, hasCode: main !== undefined };
  if (Array.isArray(content)) return { ...read, variables: { POLICIES: content }, place: [] };
  if (POLICIES !== undefined) {
    const place = [policies === undefined ? "POLICIES" : "policies"];
    return { ...read, variables: { POLICIES }, place };
  }
  return { ...read, variables: await variablesIn(file, env), place: [...scope, "POLICIES"] };
}

/** Reads a file in UTF-8. In another encoding, keys that differ would be read as one. */
function readText(file: string): string {
  const bytes = readFileSync(file);
  const text = bytes.toString();
  if (isUtf8(bytes)) return text;
  const line = text.slice(0, text.indexOf("\ufffd")).split("\n").length;
  throw new UserError(`${file}:${line}: not in UTF-8: save the file in that encoding`);
}

/** @throws {UserError} if the file does not exist, or its name does not end as it must */
function configFile(given: string | undefined): string {
  const file = given ?? CONFIG_FILES.find((name) => existsSync(name)) ?? "wrangler.toml";
  const stats = statSync(file, { throwIfNoEntry: false });
  if (!stats) throw new UserError(`${file}: no such file`);
  if (stats.isDirectory()) throw new UserError(`${file} is a directory: name a file in it`);
  // wrangler ignores a file with another ending, without a word.
  if (/\.(?:toml|jsonc?)$/.test(file)) return file;
  throw new UserError(`${file} is no configuration: its name must end in .toml, .json or .jsonc`);
}

/** Returns what a file holds; undefined if it cannot be read, which wrangler then says. */
async function contentOf(file: string, text: string): Promise<unknown> {
  // Loaded here, since the parsers would hold up every other command.
  if (!file.endsWith(".toml")) {
    const { parse } = await import("jsonc-parser");
    const errors: object[] = [];
    const content: unknown = parse(text, errors as [], { allowTrailingComma: true });
    return errors.length > 0 ? undefined : content;
  }
  const { getStaticTOMLValue, parseTOML } = await import("toml-eslint-parser");
  try {
    return getStaticTOMLValue(parseTOML(text));
  } catch {
    return undefined;
  }
}

/**
 * Returns the variables of a configuration, as wrangler reads it.
 *
 * @throws {UserError} if wrangler refuses it
 */
async function variablesIn(file: string, env: string | undefined): Promise<object> {
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
