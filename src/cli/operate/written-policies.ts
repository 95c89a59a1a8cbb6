/** Policies as they are written in a file, or in force in a Worker, and how they differ. */
import { parseConfig } from "../../config.ts";
import { readPolicyFile } from "../policy-file.ts";
import { call, made } from "./client.ts";

/** A policy as it is written. */
export type Written = Record<string, unknown>;

/** What a Worker says of its policies. */
export interface InForce {
  policies: Written[];
  source: "deployment" | "live";
  version: number;
  by: string | null;
  at: string | null;
}

/** The name of a policy that has none. */
const DEFAULT_NAME = "default";

/**
 * Reads the policies of a file.
 *
 * @param given the file; default the configuration that wrangler finds
 * @throws {UserError} if it cannot be read, or has no policies
 * @throws {MisuseError} naming the field, the rule and the value
 */
export async function readPolicies(
  given: string | undefined,
  env: string | undefined,
): Promise<{ file: string; policies: Written[] }> {
  const { file, variables } = await readPolicyFile(given, env);
  return { file, policies: parseConfig(variables).writtenPolicies as Written[] };
}

/** Asks a Worker. */
export async function policiesInForce(url: string): Promise<InForce> {
  const inForce = (await call(url, { method: "GET", path: "/policies" })) as InForce;
  made(() => inForce.policies.map(nameOf));
  return inForce;
}

/**
 * Says in lines what changes from one list to another: `+ login: limit 5, window 10m`. None if both
 * are the same.
 */
export function differences(from: readonly Written[], to: readonly Written[]): string[] {
  const before = byName(from);
  const after = byName(to);
  const lines: string[] = [];
  for (const [name, policy] of before) {
    const other = after.get(name);
    if (!other) lines.push(`- ${name}: ${fieldsOf(policy).join(", ")}`);
    else lines.push(...changedFields(policy, other).map((change) => `~ ${name}: ${change}`));
  }
  for (const [name, policy] of after) {
    if (!before.has(name)) lines.push(`+ ${name}: ${fieldsOf(policy).join(", ")}`);
  }
  const common = [...before.keys()].filter((name) => after.has(name));
  const order = [...after.keys()].filter((name) => before.has(name));
  if (common.join() !== order.join()) lines.push(`~ order: ${[...after.keys()].join(", ")}`);
  return lines;
}

/** Writes the fields of a policy but for its name: `["limit 5", "window 10m"]`. */
export function fieldsOf({ name: _, ...fields }: Written): string[] {
  return Object.entries(fields).map(([field, value]) => `${field} ${shown(value)}`);
}

export function nameOf({ name = DEFAULT_NAME }: Written): string {
  return String(name);
}

function byName(policies: readonly Written[]): Map<string, Written> {
  return new Map(policies.map((policy) => [nameOf(policy), policy]));
}

function changedFields(from: Written, to: Written): string[] {
  const fields = new Set([...Object.keys(from), ...Object.keys(to)]);
  fields.delete("name");
  return [...fields]
    .filter((field) => shown(from[field]) !== shown(to[field]))
    .map((field) => `${field} ${shown(from[field])} → ${shown(to[field])}`);
}

function shown(value: unknown): string {
  if (value === undefined) return "none";
  return typeof value === "string" ? value : sortedJson(value);
}

/** The same text for the same value, whatever the order of its fields. */
function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([one], [other]) => (one < other ? -1 : 1)))
      : each,
  );
}
