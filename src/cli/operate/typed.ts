/** Commands about one key, and how the key is typed. */
import { Command } from "commander";
import { readNetwork } from "../../limit/address-list.ts";
import { parseJson } from "../../limit/json.ts";
import { UserError } from "../user-error.ts";
import { BAD_REQUEST, RefusedError } from "./client.ts";
import { withWorker } from "./worker-command.ts";

type Who = { ip: string } | { key: string | string[] };

/** In front of a client's address. */
const ADDRESS = "ip:";

/**
 * Reads a key: `ip:192.0.2.7` is a client's address, `["my-app", "192.0.2.7"]` a key of several
 * parts.
 *
 * @throws {UserError} if it begins with a bracket and is not a list of texts
 */
export function who(typed: string): Who {
  if (isAddress(typed)) return { ip: typed.slice(ADDRESS.length) };
  if (!typed.startsWith("[")) return { key: typed };
  const parts = parseJson(typed);
  const isList = Array.isArray(parts) && parts.every((part) => typeof part === "string");
  if (isList && parts.length > 0) return { key: parts };
  throw new UserError(
    `a key that begins with [ must be a list of texts in JSON, such as '["my-app", "192.0.2.7"]', got ${typed}`,
  );
}

export function isAddress(typed: string): boolean {
  return typed.slice(0, ADDRESS.length).toLowerCase() === ADDRESS;
}

/** Returns a command about one key. */
export function keyCommand(name: string, description: string): Command {
  return withWorker(new Command(name).description(description)).argument(
    "<key>",
    `the key, such as user-1; with ip: in front a client's address, as ip:192.0.2.7; of several parts a list, as '["my-app", "192.0.2.7"]'`,
  );
}

/** Makes what such a command does, and says what to do instead about a network. */
export function onKey<Options>(act: (key: string, options: Options) => Promise<void>) {
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

function networkAdvice(typed: string): string | undefined {
  const network = isAddress(typed) ? typed.slice(ADDRESS.length) : typed;
  if (!network.includes("/") || !readNetwork(network)) return undefined;
  return `${network} is a network, and this takes one client: npx turnpike policies get --json > live.json, add "deny": ["${network}"] to a policy for all paths in it, then npx turnpike policies apply live.json`;
}
