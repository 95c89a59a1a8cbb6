/** How a key is typed, and how refusals of the API are said in the words of the command line. */
import { readNetwork } from "../../limit/address-list.ts";
import { parseJson } from "../../limit/json.ts";
import { UserError } from "../user-error.ts";

export type Who = { ip: string } | { key: string | string[] };

/** In front of a client's address. */
const ADDRESS = "ip:";
/** What the API and the command line call differently. */
const SAID: readonly [RegExp, string][] = [
  [/^duration\b/, "--for"],
  [/^(policy|limit|window|algorithm|burst|cost|by)\b(?!\[)/, "--$1"],
  [
    /^ip must be left out under ("[^"]*"): its key \[(.*?)\] takes more than an address; write .*? parts/,
    `under $1 an address is no key: write what stands for [$2], as user-1 or '["my-app", "192.0.2.7"]'`,
  ],
  [
    /write \{"ip": "(.*?)"\} for that client, or (\[.*?\]) for/,
    "write ip:$1 for that client, or '$2' for",
  ],
  [/write "key": (\[.*?\])/, "write '$1'"],
];

/**
 * Reads a key: `ip:192.0.2.7` is a client's address, `["my-app", "192.0.2.7"]` a key of several
 * parts.
 *
 * @throws {UserError} if it begins as a list and is none
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
  return typed.startsWith(ADDRESS);
}

/** Says what to do about a network; undefined if what was typed is none. */
export function networkAdvice(typed: string): string | undefined {
  const network = isAddress(typed) ? typed.slice(ADDRESS.length) : typed;
  if (!network.includes("/") || !readNetwork(network)) return undefined;
  return `${network} is a network, and this takes one client: npx turnpike policies get --json > live.json, add "deny": ["${network}"] to a policy for all paths in it, then npx turnpike policies apply live.json`;
}

/** Says a refusal of the API to somebody who typed a command, and no JSON. */
export function said(detail: string): string {
  return SAID.reduce((text, [pattern, words]) => text.replace(pattern, words), detail);
}
