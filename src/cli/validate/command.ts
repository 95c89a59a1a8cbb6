/** `turnpike validate`: the mistakes in a configuration, each with its line. */
import { Command } from "commander";
import { parseConfig } from "../../config.ts";
import { unboundedPolicies } from "../../limit/made-up-keys.ts";
import { InvalidError } from "../../limit/misuse.ts";
import { type FieldPath, noneIn, readConfiguration } from "../policy-file.ts";
import { count } from "../text.ts";
import { UserError } from "../user-error.ts";
import { meantBy } from "./near-miss.ts";

/** A mistake hides those behind it, so each is taken out, and the rest is read again. */
const MAX_MISTAKES = 50;

interface Mistake {
  line: number | null;
  field: string;
  message: string;
}

export function validateCommand(): Command {
  return new Command("validate")
    .description("names the mistakes in a configuration, each with its line")
    .argument("[file]", "the configuration (default: wrangler.toml)")
    .option("--env <name>", "an environment of the configuration")
    .option("--json", "print the mistakes as JSON")
    .action(run);
}

async function run(given: string | undefined, { env, json }: { env?: string; json?: true }) {
  const read = await readConfiguration(given, env);
  const { file, text, variables, scope, place } = read;
  // Loaded here, since the parsers would hold up every other command.
  const { lineOf } = await import("./positions.ts");
  const mistakes = [...nearMisses(variables), ...mistakesIn(variables)].map(
    ({ field, message }): Mistake => {
      const [variable = "", ...within] = pathOf(field);
      const path = variable === "POLICIES" ? place : [...scope, variable];
      return { line: lineOf(file, text, [...path, ...within]) ?? null, field, message };
    },
  );
  const hasPolicies = variables.POLICIES !== undefined;
  if (!hasPolicies && !read.hasCode && mistakes.length === 0) {
    mistakes.push({ line: null, field: "POLICIES", message: noneIn(read) });
  }
  if (json) {
    process.stdout.write(`${JSON.stringify({ file, mistakes }, null, 2)}\n`);
  } else if (mistakes.length === 0) {
    const policies = hasPolicies ? parseConfig(variables).policies : [];
    const found = hasPolicies
      ? count(policies.length, "policy", "policies")
      : "no policies, unless its code has them";
    const notes = unboundedPolicies(policies).map(
      ({ name }) => `Note: policy "${name}" is no limit by itself: clients make its key up.`,
    );
    process.stdout.write(`${[`${file}: ${found}, no mistake`, ...notes].join("\n")}\n`);
  }
  if (mistakes.length === 0) return;
  const said = mistakes.map(({ line, message }) => `${file}${line ? `:${line}` : ""}: ${message}`);
  throw new UserError(...said);
}

/** Other variables are an app's own, but not those that are almost ours. */
function nearMisses(variables: object): Pick<Mistake, "field" | "message">[] {
  return Object.keys(variables).flatMap((field) => {
    const meant = meantBy(field);
    if (meant === undefined) return [];
    return { field, message: `${field} is no variable of Turnpike: did you mean ${meant}?` };
  });
}

function mistakesIn(variables: object): InvalidError[] {
  const left: Record<string, unknown> = { ...variables };
  const mistakes: InvalidError[] = [];
  while (mistakes.length < MAX_MISTAKES) {
    try {
      parseConfig(left);
      return mistakes;
    } catch (error) {
      if (!(error instanceof InvalidError)) throw error;
      mistakes.push(error);
      const [name, ...place] = pathOf(error.field);
      left[name as string] = mended(left[name as string], place, mistakes.length);
    }
  }
  return mistakes;
}

/** Takes a mistake out of a variable, so that those behind it show. */
function mended(value: unknown, [at, field]: FieldPath, attempt: number): unknown {
  if (!Array.isArray(value) || typeof at !== "number") return undefined;
  const policy: unknown = value[at];
  const isField = typeof policy === "object" && policy !== null && typeof field === "string";
  const { [String(field)]: _, ...others } = isField ? (policy as Record<string, unknown>) : {};
  // What every policy needs, and a name that no other has.
  const needed = { limit: 1, window: "1m", name: `mistake-${attempt}` };
  const missing = Object.entries(needed).filter(([name]) => name === field || !isField);
  return value.with(at, { ...others, ...Object.fromEntries(missing) });
}

/** `POLICIES[1].limit` as a path: `["POLICIES", 1, "limit"]`. */
function pathOf(field: string): FieldPath {
  return [...field.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map(([name, index]) =>
    index === undefined ? name : Number(index),
  );
}
