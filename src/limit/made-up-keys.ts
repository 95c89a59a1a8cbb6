/**
 * Finds the policies that are no limit by themselves: a client gets past them by making up keys.
 *
 * It is enough if each of their requests also meets a policy that counts by address, for example.
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

/** Does each request that meets `other` meet the first policy too? In doubt the answer is no. */
function covers({ path, method, except }: Policy, other: Policy): boolean {
  const prefix = path.endsWith("/*") ? path.slice(0, -1) : undefined;
  const isBelow = prefix !== undefined && `${other.path}/`.startsWith(prefix);
  const hasMethods = !method || other.method?.every((each) => method.includes(each));
  return Boolean((isBelow || path === other.path) && hasMethods && except.length === 0);
}
