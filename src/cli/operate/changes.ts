/** The commands that change what a running Worker decides of a key. Each says what holds then. */
import type { Command } from "commander";
import { MAX_WINDOW_MS } from "../../limit/algorithm.ts";
import { formatDuration, parseDuration, spoken } from "../../limit/duration.ts";
import { whole } from "../options.ts";
import { print } from "../text.ts";
import { UserError } from "../user-error.ts";
import { type Call, call, made } from "./client.ts";
import { type Explained, explanationOf, type Override } from "./explain.ts";
import { isAddress, keyCommand, onKey, who } from "./typed.ts";
import { answered, type WorkerOptions } from "./worker-command.ts";

/** How long an override holds, as in the API. */
const LONGEST = formatDuration(MAX_WINDOW_MS);
/** How `top` ends a key, or a part of one, that it shortens, as `WATCH` says. */
const SHORTENED = /[*…](?:"|$)/;

interface BlockOptions extends WorkerOptions {
  for: string;
}

interface OverrideOptions extends WorkerOptions {
  policy: string;
  limit?: number | "unlimited";
  for?: string;
  clear?: true;
}

export function changeCommands(): Command[] {
  return [
    keyCommand("block", "denies a key everything for a while")
      .option("--for <duration>", "how long", "10m")
      .action(onKey(block)),
    keyCommand("unblock", "ends all blocks of a key").action(onKey(unblock)),
    keyCommand("override", "gives a key another limit under a policy, or shows which it has")
      .requiredOption("--policy <name>", "a policy of the Worker")
      .option("--limit <units>", 'the limit, or "unlimited"', limitOf)
      .option("--for <duration>", `how long (default: ${LONGEST})`)
      .option("--clear", "gives it the policy's own limit again")
      .action(onKey(override)),
  ];
}

async function block(key: string, options: BlockOptions): Promise<void> {
  if (SHORTENED.test(key)) {
    const mend = "npm run deploy -- --var WATCH:full";
    throw new UserError(`${key} is the beginning of a key: "${mend}" has top show it whole`);
  }
  const { for: duration } = options;
  const what: Call = { method: "POST", path: "/block", body: { ...who(key), duration } };
  await changed(key, options, what, (now, whom) => {
    const blockedMs = now?.blockedMs ?? 0;
    // An earlier block that lasts longer stays.
    const isKept = blockedMs > (parseDuration(duration) ?? 0);
    return isKept
      ? `${whom} was blocked already, for ${spoken(blockedMs)} more: that block is kept`
      : `blocked ${whom} for ${duration}`;
  });
}

async function unblock(key: string, options: WorkerOptions): Promise<void> {
  const before = await explanationOf(who(key), options);
  const what: Call = { method: "POST", path: "/unblock", body: who(key) };
  await changed(key, options, what, (now, whom) => {
    const wasFree = before?.blockedMs === 0 && before.reason !== "blocked";
    const done = wasFree ? `${whom} was not blocked` : `unblocked ${whom}`;
    return now ? `${done}: ${now.summary}` : done;
  });
}

async function override(key: string, options: OverrideOptions): Promise<void> {
  const { policy, limit, clear } = options;
  if (limit === undefined ? options.for !== undefined : clear) {
    throw new UserError("write --limit, with --for or without, or --clear alone");
  }
  const query = new URLSearchParams({ policy });
  for (const [name, values] of Object.entries(who(key))) {
    for (const value of [values].flat()) query.append(name, value);
  }
  const path = `/overrides?${query}`;
  if (!clear && limit === undefined) {
    await answered<Override>(options, { method: "GET", path }, (found) =>
      overrideText(`${key} under "${policy}"`, found),
    );
    return;
  }
  const body = { ...who(key), policy, limit, duration: options.for };
  const what: Call = clear
    ? { method: "DELETE", path }
    : { method: "PUT", path: "/overrides", body };
  const text = (now: Explained | undefined, whom: string) => {
    const whose = `${whom} under "${policy}"`;
    const [counting] = now?.policies ?? [];
    if (counting?.override) return overrideText(whose, counting.override);
    if (counting) return `${whose}: ${counting.limit}, as without an override`;
    return `${whose}: ${now?.others[0]?.state}`;
  };
  await changed(key, options, what, text, policy);
}

function overrideText(whose: string, { limit, leftMs }: Override): string {
  return `${whose}: ${limit} for ${spoken(leftMs)} more`;
}

function limitOf(text: string): number | "unlimited" {
  return text === "unlimited" ? text : whole("--limit")(text);
}

/**
 * Makes a call that changes something of a key, and says what holds then.
 *
 * @param text is given the key as the Worker counts it: an IPv6 address stands for its network
 */
async function changed(
  key: string,
  options: WorkerOptions,
  what: Call,
  text: (now: Explained | undefined, whom: string) => string,
  policy?: string,
): Promise<void> {
  const answer = await call(options.url, what);
  const now = await explanationOf({ ...who(key), policy }, options);
  const { unreached = [] } = (answer ?? {}) as { unreached?: string[] };
  const note =
    unreached.length > 0 ? `; not under ${unreached.join(", ")}, whose keys have other parts` : "";
  const said = made(() => text(now, counted(key, now)));
  print(options, { ...(answer as object), now }, said + note);
}

function counted(key: string, now: Explained | undefined): string {
  if (!now || !isAddress(key)) return key;
  const networks = now.policies.flatMap(({ key: [first = ""] }) =>
    first.includes("/") ? first : [],
  );
  return networks.length > 0 ? `${key} (all of ${[...new Set(networks)].join(", ")})` : key;
}
