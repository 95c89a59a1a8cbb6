/**
 * Finds the policies that are no limit by themselves: a client gets past them by making up keys.
 *
 * It is enough that each of their requests also meets a policy that counts by address, say.
 */
import { isGiven, isMadeUp } from "./key-part.ts";
import type { Policy } from "./policy.ts";

/** Returns the policies with a key that clients can make up, and no other policy that bounds them. */
export function unboundedPolicies(policies: readonly Policy[]): Policy[] {
  const bounds = policies.filter(({ key, shadow }) => isGiven(key) && !shadow);
  return policies.filter(
    (policy) => isMadeUp(policy.key) && !bounds.some((bound) => covers(bound, policy)),
  );
}

/** Does each request that meets a policy meet the other one? In doubt it says no. */
function covers({ path, method, except }: Policy, other: Policy): boolean {
  const prefix = path.endsWith("/*") ? path.slice(0, -1) : undefined;
  const isBelow = prefix !== undefined && `${other.path}/`.startsWith(prefix);
  const hasMethods = !method || other.method?.every((each) => method.includes(each));
  return Boolean((isBelow || path === other.path) && hasMethods && except.length === 0);
}
