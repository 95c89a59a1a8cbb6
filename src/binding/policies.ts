/**
 * The policies that a binding may name: those of the variable `POLICIES`, and those that the
 * Worker's own code makes by `limiter()` and `rateLimit()`.
 */
import { claimedPolicies } from "../caller/isolate.ts";
import { MisuseError } from "../limit/misuse.ts";
import type { Policy } from "../limit/policy.ts";
import { parsePoliciesVariable } from "../limiter-config.ts";

let listed: (() => readonly Policy[]) | undefined;

/** Lets bindings name these policies in place of `POLICIES`: in the deployed Worker, live ones. */
export function listPolicies(policies: () => readonly Policy[]): void {
  listed = policies;
}

/**
 * Returns the policy with a name.
 *
 * @param at path of the name, for the error
 * @throws {MisuseError} if the name is unknown, with the known ones, or if the policy's quota or
 *   cost is a function of the request
 */
export function policyNamed(name: unknown, env: object, at: string): Policy {
  const policies = known(env);
  const found = policies.find((policy) => policy.name === name);
  if (found?.perRequest) {
    const rule = `must have no function as its ${found.perRequest}, since a binding has no request`;
    throw new MisuseError(at, rule, name);
  }
  if (found) return found;
  const names = policies.map((policy) => `"${policy.name}"`).join(", ");
  const how = name === undefined ? `, as in props = { policy = ${names.split(",")[0]} }` : "";
  throw new MisuseError(at, `must be the name of a policy, one of ${names}${how}`, name);
}

/** Returns the policies that a binding may name. If code makes some, `POLICIES` has no default. */
function known(env: object): Policy[] {
  const claimed = claimedPolicies();
  if (claimed.length > 0 && Reflect.get(env, "POLICIES") === undefined) return claimed;
  if (!listed) {
    const parsed = parsePoliciesVariable(env);
    listed = () => parsed;
  }
  return [...claimed, ...listed()];
}
