/** Options that several commands have, and how mistakes in them are said. */
import { type Command, Option } from "commander";
import { ALGORITHMS, type AlgorithmName } from "../limit/algorithms.ts";
import { UserError } from "./user-error.ts";

/** The fields of a policy of one's own. */
export interface PolicyOptions {
  limit?: number;
  window?: string;
  algorithm?: AlgorithmName;
  burst?: number;
}

/** Fields of a policy, or of a call of the API, that have an option. */
const FIELDS = "limit window algorithm burst path policy cost duration by last".split(" ");

export function withPolicyOptions(command: Command): Command {
  return command
    .option("--limit <units>", "a policy of your own: its limit", whole("--limit"))
    .option("--window <duration>", 'its window, such as "60s" or "1d"')
    .addOption(
      new Option("--algorithm <name>", "its algorithm (default: fixed-window)").choices(
        Object.keys(ALGORITHMS),
      ),
    )
    .option("--burst <units>", "its burst", whole("--burst"));
}

/** Returns a function that reads a whole number from `least` on, or throws a `UserError`. */
export function whole(option: string, least = 0): (text: string) => number {
  return (text) => {
    if (/^\d+$/.test(text) && Number(text) >= least) return Number(text);
    const rule = least > 0 ? `a whole number from ${least} on` : "a whole number";
    throw new UserError(`${option} must be ${rule}, got ${text}`);
  };
}

/** Says what is wrong with a field: a text that begins with it begins with its option instead. */
export function inOptions(text: string, field: string): string {
  if (!FIELDS.includes(field)) return text;
  const option = field === "duration" ? "--for" : `--${field}`;
  const start = `${field} `;
  return text.startsWith(start) ? text.replace(start, `${option} `) : `${option}: ${text}`;
}
