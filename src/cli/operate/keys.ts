/** The commands that ask a running Worker about one key, or change what it counts of it. */
import { styleText } from "node:util";
import { Command } from "commander";
import { MAX_WINDOW_MS } from "../../limit/algorithm.ts";
import type { Decision } from "../../limit/decision.ts";
import { formatDuration, rounded } from "../../limit/duration.ts";
import { type PolicyOptions, whole, withPolicyOptions } from "../options.ts";
import { UserError } from "../user-error.ts";
import { type Call, RefusedError } from "./client.ts";
import { explain } from "./explain.ts";
import { isAddress, networkAdvice, who } from "./typed.ts";
import { answered, changed, type WorkerOptions, withWorker } from "./worker-command.ts";

/** The exit code of a check that is denied. */
const DENIED = 1;
const BAD_REQUEST = 400;
/** How long an override holds, as in the API. */
const LONGEST = formatDuration(MAX_WINDOW_MS);
/** How `top` ends a key that it shortens, as `WATCH` says. */
const SHORTENED = /[*…]$/;

interface AskOptions extends WorkerOptions, PolicyOptions {
  policy?: string;
  cost?: number;
}

export function keyCommands(): Command[] {
  return [
    withCost(verb("check", "spends a cost of a key, and says whether it may pass")).action(
      decide("/check"),
    ),
    withCost(verb("peek", "says what check would say, and spends nothing")).action(decide("/peek")),
    withPolicy(verb("explain", "says what is stored for a key, and why it is denied")).action(
      onKey((key: string, options: AskOptions) => explain(bodyOf(key, options, false), options)),
    ),
    withPolicy(verb("reset", "forgets what a key has spent")).action(
      onKey(async (key: string, options: AskOptions) => {
        const body = bodyOf(key, options, !isAddress(key));
        await changed(options, { method: "POST", path: "/reset", body }, `reset ${key}`);
      }),
    ),
    verb("block", "denies a key everything for a while")
      .option("--for <duration>", "how long", "10m")
      .action(
        onKey(async (key: string, options: WorkerOptions & { for: string }) => {
          if (SHORTENED.test(key)) {
            const mend = "npm run deploy -- --var WATCH:full";
            throw new UserError(
              `${key} is the beginning of a key: "${mend}" has top show it whole`,
            );
          }
          const body = { ...who(key), duration: options.for };
          const said = `blocked ${key} for ${options.for}`;
          await changed(options, { method: "POST", path: "/block", body }, said);
        }),
      ),
    verb("unblock", "ends all blocks of a key").action(
      onKey(async (key: string, options: WorkerOptions) => {
        const call: Call = { method: "POST", path: "/unblock", body: who(key) };
        await changed(options, call, `unblocked ${key}`);
      }),
    ),
    overrideCommand(),
  ];
}

interface OverrideOptions extends WorkerOptions {
  policy: string;
  limit?: number | "unlimited";
  for: string;
  clear?: true;
}

function overrideCommand(): Command {
  return verb("override", "gives a key another limit under a policy, or shows which it has")
    .requiredOption("--policy <name>", "a policy of the Worker")
    .option("--limit <units>", 'the limit, or "unlimited"', limitOf)
    .option("--for <duration>", "how long", LONGEST)
    .option("--clear", "gives it the policy's own limit again")
    .action(
      onKey(async (key: string, options: OverrideOptions) => {
        const { policy, limit, clear } = options;
        const whose = `${key} under "${policy}"`;
        const query = new URLSearchParams({ policy });
        for (const [name, values] of Object.entries(who(key))) {
          for (const value of [values].flat()) query.append(name, value);
        }
        const path = `/overrides?${query}`;
        if (clear) {
          await changed(options, { method: "DELETE", path }, `cleared the override of ${whose}`);
        } else if (limit === undefined) {
          const text = ({ limit, leftMs }: { limit: number | string; leftMs: number }) =>
            `${whose}: ${limit} for ${rounded(leftMs)} more`;
          await answered(options, { method: "GET", path }, text);
        } else {
          const body = { ...who(key), policy, limit, duration: options.for };
          const said = `${whose}: ${limit} for ${options.for}`;
          await changed(options, { method: "PUT", path: "/overrides", body }, said);
        }
      }),
    );
}

function limitOf(text: string): number | "unlimited" {
  return text === "unlimited" ? text : whole("--limit")(text);
}

/** Makes what a command does with a key, and says what to do instead about a network. */
function onKey<Options>(act: (key: string, options: Options) => Promise<void>) {
  return async (key: string, options: Options) => {
    try {
      await act(key, options);
    } catch (error) {
      const advice = networkAdvice(key);
      const isRefused = error instanceof RefusedError && error.status === BAD_REQUEST;
      throw isRefused && advice ? new UserError(advice) : error;
    }
  };
}

function verb(name: string, description: string): Command {
  return withWorker(new Command(name).description(description)).argument(
    "<key>",
    `the key, such as user-1; with ip: in front a client's address, as ip:192.0.2.7; of several parts a list, as '["my-app", "192.0.2.7"]'`,
  );
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
    ? `whole again in ${rounded(resetMs)}`
    : `may pass in ${rounded(retryAfterMs)}`;
  const certainty = exact ? "exact" : "may be off";
  return `${verdict}: ${leftOf(remaining, limit)} left under "${policy}", ${next} (${reason}, by the ${source}, ${certainty})`;
}

/** A bucket may hold more than its limit, which is then no measure of what is left. */
function leftOf(remaining: number, limit: number): string {
  return remaining > limit ? String(remaining) : `${remaining} of ${limit}`;
}
