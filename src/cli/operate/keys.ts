/** The commands that ask a running Worker what it counts of a key, and the one that forgets it. */
import { styleText } from "node:util";
import type { Command } from "commander";
import type { Decision } from "../../limit/decision.ts";
import { spoken } from "../../limit/duration.ts";
import { type PolicyOptions, whole, withPolicyOptions } from "../options.ts";
import { UserError } from "../user-error.ts";
import type { Call } from "./client.ts";
import { explain } from "./explain.ts";
import { isAddress, keyCommand, onKey, who } from "./typed.ts";
import { answered, type WorkerOptions } from "./worker-command.ts";

/** The exit code of a check that is denied. */
const DENIED = 1;

interface AskOptions extends WorkerOptions, PolicyOptions {
  policy?: string;
  cost?: number;
}

export function keyCommands(): Command[] {
  return [
    withCost(keyCommand("check", "spends a cost of a key, and says whether it may pass")).action(
      decide("/check"),
    ),
    withCost(keyCommand("peek", "says what check would say, and spends nothing")).action(
      decide("/peek"),
    ),
    withPolicy(keyCommand("explain", "says what is stored for a key, and why it is denied")).action(
      onKey((key: string, options: AskOptions) => explain(bodyOf(key, options, false), options)),
    ),
    withPolicy(keyCommand("reset", "forgets what a key has spent")).action(
      onKey(async (key: string, options: AskOptions) => {
        const body = bodyOf(key, options, !isAddress(key));
        await answered(options, { method: "POST", path: "/reset", body }, () => `reset ${key}`);
      }),
    ),
  ];
}

function withPolicy(command: Command): Command {
  return withPolicyOptions(
    command.option("--policy <name>", "a policy of the Worker, such as default"),
  );
}

function withCost(command: Command): Command {
  return withPolicy(command)
    .option("--cost <units>", "what it costs (default: 1)", whole("--cost"))
    .addHelpText("after", "\nExit code 1 if it is denied.");
}

/** @param needsPolicy whether the call cannot mean all policies */
function bodyOf(key: string, options: AskOptions, needsPolicy = true): object {
  const { policy, limit, window, algorithm, burst, cost } = options;
  if (needsPolicy && policy === undefined && limit === undefined) {
    throw new UserError("write --policy with a name, or --limit and --window");
  }
  // JSON leaves out what is undefined.
  return { ...who(key), policy, limit, window, algorithm, burst, cost };
}

function decide(path: string) {
  return onKey(async (key: string, options: AskOptions) => {
    const call: Call = { method: "POST", path, body: bodyOf(key, options) };
    const { allowed } = await answered(options, call, decisionText);
    if (!allowed) process.exitCode = DENIED;
  });
}

function decisionText(decision: Decision): string {
  const { allowed, policy, limit, remaining, resetMs, retryAfterMs, reason, source, exact } =
    decision;
  if (typeof allowed !== "boolean") throw new TypeError("no decision");
  const verdict = allowed ? styleText("green", "allowed") : styleText("red", "denied");
  const next = allowed
    ? `whole again in ${spoken(resetMs)}`
    : `may pass in ${spoken(retryAfterMs)}`;
  const certainty = exact ? "exact" : "may be off";
  return `${verdict}: ${leftOf(remaining, limit)} left under "${policy}", ${next} (${reason}, by the ${source}, ${certainty})`;
}

/** A bucket may hold more than its limit, which is then no measure of what is left. */
function leftOf(remaining: number, limit: number): string {
  return remaining > limit ? String(remaining) : `${remaining} of ${limit}`;
}
