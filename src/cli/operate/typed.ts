/** How a key is typed, and how refusals of the API are said to somebody who typed a command. */
import { readNetwork } from "../../limit/address-list.ts";
import { parseJson } from "../../limit/json.ts";
import { inOptions } from "../options.ts";
import { UserError } from "../user-error.ts";

export type Who = { ip: string } | { key: string | string[] };

/** In front of a client's address. */
const ADDRESS = "ip:";
/** What the API writes as `{"ip": …}` or `{"key": […]}`. */
const AS_ARGUMENT = `as an argument: user-1, ip:192.0.2.7, or '["my-app", "192.0.2.7"]'`;

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

/** Says a refusal of the API in its own words, which are about a field of the body. */
export function said(detail: string, field: unknown): string {
  if (field === "key" || field === "ip") return `${detail} (${AS_ARGUMENT})`;
  return inOptions(detail, String(field));
}
