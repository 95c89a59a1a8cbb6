/** The commands that ask a running Worker, or change what it counts. */
import { styleText } from "node:util";
import Table from "cli-table3";
import { Command } from "commander";
import type { Decision } from "../../limit/decision.ts";
import { formatDuration } from "../../limit/duration.ts";
import { UserError } from "../user-error.ts";
import { type Call, call } from "./client.ts";

const LOCAL_URL = "http://127.0.0.1:8787";
/** In front of a client's address. */
const ADDRESS = "ip:";
/** The exit code of a check that is denied. */
const DENIED = 1;

const TOKEN_HELP = `
The token comes from TURNPIKE_TOKEN, else from TOKEN in .dev.vars; a Worker of npm start has "dev".`;

interface CommonOptions {
  url: string;
  json?: true;
}

interface PolicyOptions extends CommonOptions {
  policy?: string;
  limit?: string;
  window?: string;
  algorithm?: string;
  burst?: string;
  cost?: string;
}

export function operateCommands(): Command[] {
  return [
    withPolicy(
      verb("check", "spends a cost of a key, and says whether it may pass (exit code 1 if not)"),
    )
      .option("--cost <units>", "what it costs (default: 1)")
      .action(decide("/check")),
    withPolicy(verb("peek", "says what check would say, and spends nothing"))
      .option("--cost <units>", "what it costs (default: 1)")
      .action(decide("/peek")),
    withPolicy(verb("explain", "says what is stored for a key, and why it is denied")).action(
      explain,
    ),
    withPolicy(verb("reset", "forgets what a key has spent")).action(
      async (key: string, options: PolicyOptions) => {
        await changed(
          options,
          { method: "POST", path: "/reset", body: bodyOf(key, options, !key.startsWith(ADDRESS)) },
          `reset ${key}`,
        );
      },
    ),
    verb("block", "denies a key everything for a while")
      .option("--for <duration>", "how long", "10m")
      .action(async (key: string, options: CommonOptions & { for: string }) => {
        const body = { ...who(key), duration: options.for };
        await changed(
          options,
          { method: "POST", path: "/block", body },
          `blocked ${key} for ${options.for}`,
        );
      }),
    verb("unblock", "ends all blocks of a key").action(
      async (key: string, options: CommonOptions) => {
        await changed(
          options,
          { method: "POST", path: "/unblock", body: who(key) },
          `unblocked ${key}`,
        );
      },
    ),
    overrideCommand(),
    ringCommand(),
  ];
}

interface OverrideOptions extends CommonOptions {
  policy: string;
  limit?: string;
  for: string;
  clear?: true;
}

function overrideCommand(): Command {
  return verb("override", "gives a key another limit under a policy, or shows which it has")
    .option("--policy <name>", "a policy of the Worker", "default")
    .option("--limit <units>", 'the limit, or "unlimited"')
    .option("--for <duration>", "how long", "30d")
    .option("--clear", "gives it the policy's own limit again")
    .action(async (key: string, options: OverrideOptions) => {
      const { policy, limit, clear } = options;
      const whose = `${key} under "${policy}"`;
      const query = new URLSearchParams({ ...who(key), policy });
      const path = `/overrides?${query}`;
      if (clear) {
        await changed(options, { method: "DELETE", path }, `cleared the override of ${whose}`);
      } else if (limit === undefined) {
        await answered(options, { method: "GET", path }, (answer) => {
          const override = answer as { limit: number | string; leftMs: number };
          return `${whose}: ${override.limit} for ${inSeconds(override.leftMs)} more`;
        });
      } else {
        const units = limit === "unlimited" ? limit : unitsOf("limit", limit);
        const body = { ...who(key), policy, limit: units, duration: options.for };
        const said = `${whose}: ${limit} for ${options.for}`;
        await changed(options, { method: "PUT", path: "/overrides", body }, said);
      }
    });
}

function verb(name: string, description: string): Command {
  return common(new Command(name).description(description)).argument(
    "<key>",
    "the key; with ip: in front a client's address, such as ip:192.0.2.7",
  );
}

function common(command: Command): Command {
  return command
    .option("--url <url>", "the Worker", LOCAL_URL)
    .option("--json", "print the answer as JSON")
    .addHelpText("after", TOKEN_HELP);
}

function withPolicy(command: Command): Command {
  return command
    .option("--policy <name>", "a policy of the Worker, such as default")
    .option("--limit <units>", "or a policy of your own: its limit")
    .option("--window <duration>", 'its window, such as "60s"')
    .option("--algorithm <name>", "its algorithm")
    .option("--burst <units>", "its burst");
}

function who(key: string): object {
  return key.startsWith(ADDRESS) ? { ip: key.slice(ADDRESS.length) } : { key };
}

/** @param needsPolicy whether the call cannot mean all policies */
function bodyOf(key: string, options: PolicyOptions, needsPolicy = true): object {
  const { policy, window, algorithm, limit } = options;
  if (needsPolicy && policy === undefined && limit === undefined) {
    throw new UserError("write --policy with a name, or --limit and --window");
  }
  const numbers = { limit: options.limit, burst: options.burst, cost: options.cost };
  const units = Object.entries(numbers).map(([name, text]) => [name, unitsOf(name, text)]);
  // JSON leaves out what is undefined.
  return { ...who(key), policy, window, algorithm, ...Object.fromEntries(units) };
}

function unitsOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new UserError(`--${name} must be a whole number, got ${text}`);
}

function decide(path: string) {
  return async (key: string, options: PolicyOptions) => {
    const call: Call = { method: "POST", path, body: bodyOf(key, options) };
    const decision = (await answered(options, call, decisionText)) as Decision;
    if (!decision.allowed) process.exitCode = DENIED;
  };
}

function decisionText(answer: unknown): string {
  const { allowed, policy, limit, remaining, resetMs, retryAfterMs, reason, source, exact } =
    answer as Decision;
  const verdict = allowed ? styleText("green", "allowed") : styleText("red", "denied");
  const next = allowed
    ? `whole again in ${inSeconds(resetMs)}`
    : `may pass in ${inSeconds(retryAfterMs)}`;
  const certainty = exact ? "exact" : "may be off";
  return `${verdict}: ${remaining} of ${limit} left under "${policy}", ${next} (${reason}, by the ${source}, ${certainty})`;
}

interface Explained {
  blockedMs: number;
  policies: { policy: string; owner: string; limit: number; remaining: number; state: string }[];
}

async function explain(key: string, options: PolicyOptions): Promise<void> {
  const call: Call = { method: "POST", path: "/explain", body: bodyOf(key, options) };
  await answered(options, call, (answer) => {
    const { blockedMs, policies } = answer as Explained;
    const table = tableOf(["policy", "left", "owner", "what is stored"]);
    for (const { policy, remaining, limit, owner, state } of policies) {
      table.push([policy, `${remaining} of ${limit}`, owner, state]);
    }
    const block = blockedMs > 0 ? `\nBlocked by an operator for ${inSeconds(blockedMs)} more.` : "";
    return table.toString() + block;
  });
}

interface Ring {
  regions: ({
    region: string;
    version: number;
    settling: boolean;
    owners: { name: string; keys: number | null; checksPerSecond: number | null }[];
  } | null)[];
}

function ringCommand(): Command {
  const ring = common(new Command("ring").description("shows which owners each region has")).action(
    async (options: CommonOptions) => {
      await answered(options, { method: "GET", path: "/ring" }, ringText);
    },
  );
  ring.addCommand(
    new Command("add")
      .description("adds an owner to a region")
      .argument("<region>", "such as weur")
      .action(async (region: string, _, command: Command) => {
        const options: CommonOptions = command.optsWithGlobals();
        const call: Call = { method: "POST", path: "/ring/owners", body: { region } };
        await answered(options, call, ringText);
      }),
  );
  ring.addCommand(
    new Command("remove")
      .description("removes an owner once what it counts has moved")
      .argument("<owner>", "such as weur/3")
      .action(async (owner: string, _, command: Command) => {
        const options: CommonOptions = command.optsWithGlobals();
        const path = `/ring/owners/${encodeURIComponent(owner)}`;
        await answered(options, { method: "DELETE", path }, ringText);
      }),
  );
  return ring;
}

function ringText(answer: unknown): string {
  const table = tableOf(["region", "ring version", "owner", "keys", "checks/s"]);
  for (const region of (answer as Ring).regions) {
    const version = region && `${region.version}${region.settling ? ", settling" : ""}`;
    for (const { name, keys, checksPerSecond } of region?.owners ?? []) {
      table.push([region?.region, version, name, keys ?? "?", checksPerSecond ?? "?"]);
    }
  }
  return table.toString();
}

/** Makes a call and prints its answer, or in JSON the answer as it came. */
async function answered(
  { url, json }: CommonOptions,
  what: Call,
  text: (answer: unknown) => string,
): Promise<unknown> {
  const answer = await call(url, what);
  process.stdout.write(`${json ? JSON.stringify(answer, null, 2) : text(answer)}\n`);
  return answer;
}

/** Makes a call that changes something, and says so. */
async function changed({ url, json }: CommonOptions, what: Call, said: string): Promise<void> {
  const answer = await call(url, what);
  const { unreached = [] } = (answer ?? {}) as { unreached?: string[] };
  const note =
    unreached.length > 0 ? `; not under ${unreached.join(", ")}, whose keys have other parts` : "";
  process.stdout.write(json ? `${JSON.stringify(answer ?? {}, null, 2)}\n` : `${said}${note}\n`);
}

/** Writes a duration in whole seconds, rounded up: `inSeconds(13_196) // "14s"`. */
function inSeconds(ms: number): string {
  return formatDuration(Math.ceil(ms / 1_000) * 1_000);
}

function tableOf(head: string[]) {
  return new Table({ head, style: { head: [], border: [] } });
}
