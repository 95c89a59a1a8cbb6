/**
 * Finds the policies that limit nobody: a client gets past them by making up keys.
 *
 * A policy is fine if each of its requests also meets another policy, whose keys clients cannot
 * make up. One by address is such a policy.
 */
import { isGiven, isMadeUp } from "./key-part.ts";
import type { Policy } from "./policy.ts";

/** Returns the policies whose keys clients can make up and that no other policy bounds. */
export function unboundedPolicies(policies: readonly Policy[]): Policy[] {
  const bounds = policies.filter(({ key, shadow }) => isGiven(key) && !shadow);
  return policies.filter(
    (policy) => isMadeUp(policy.key) && !bounds.some((bound) => covers(bound, policy)),
  );
}

/** Returns true if each request that meets `other` surely meets the first policy, too. */
function covers({ path, method, except }: Policy, other: Policy): boolean {
  const isBelow = path.endsWith("/*") && `${other.path}/`.startsWith(path.slice(0, -1));
  const hasExtension = path.startsWith("*") && other.path.endsWith(path.slice(1));
  // The other path may be `*.pdf`, which begins with no slash.
  const hasPaths = path === "/*" || path === other.path || isBelow || hasExtension;
  const hasMethods = !method || other.method?.every((each) => method.includes(each));
  return Boolean(hasPaths && hasMethods && except.length === 0);
}
