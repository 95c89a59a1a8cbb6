/**
 * Overrides of the configuration: keys and networks that have another limit under a policy.
 *
 * An exact key wins over a network, and a smaller network over a larger one. What an operator gives
 * a key while the Worker runs (`counters/overrides.ts`) wins over both.
 */
import { type Network, overlap, readNetwork } from "./address-list.ts";
import { isAddressPart } from "./key-part.ts";
import { fieldPath, MisuseError } from "./misuse.ts";
import { type Policy, withQuota } from "./policy.ts";
import { withShortQueue } from "./waiting.ts";

type Overrides = NonNullable<Policy["overrides"]>;
type Limited = Network & { limit: number };

/** The networks of lists of overrides: to read a thousand of them takes a millisecond. */
const read = new WeakMap<Overrides, readonly Limited[]>();
/** Policies with an overridden limit, by policy and limit, so that each is made only once. */
const made = new WeakMap<Policy, Map<number, Policy>>();

/** @throws {MisuseError} if the policy cannot have one of the limits */
export function requireOverrides(policy: Policy, at: string): void {
  const { cost, shadow } = policy;
  for (const [index, { limit }] of (policy.overrides ?? []).entries()) {
    const path = fieldPath(fieldPath(at, "overrides"), index);
    const { capacity } = withLimit(policy, limit, path);
    if (cost <= capacity || limit === 0 || shadow) continue;
    throw new MisuseError(fieldPath(path, "limit"), `must let the cost of ${cost} pass`, limit);
  }
}

/**
 * Returns the policy as it holds for a key.
 *
 * @param key the key's parts, in the order of the policy's `key`
 */
export function policyFor(policy: Policy, key: readonly string[]): Policy {
  const { overrides } = policy;
  if (!overrides) return policy;
  const exact = key.length === 1 ? overrides.find((each) => each.key === key[0]) : undefined;
  const client = networkIn(policy, key);
  // An IPv6 client is a network, and one of its addresses stands for it.
  const isMet = (network: Network) => client && overlap(network, client);
  const limit = (exact ?? networksOf(overrides).find(isMet))?.limit;
  if (limit === undefined || limit === policy.limit) return policy;
  const known = made.get(policy) ?? new Map<number, Policy>();
  made.set(policy, known);
  const overridden = known.get(limit) ?? withLimit(policy, limit);
  known.set(limit, overridden);
  return overridden;
}

/** Returns the policy with another limit. Where requests are held, its queue is as short. */
function withLimit(policy: Policy, limit: number, at = ""): Policy {
  const overridden = withQuota(policy, limit, policy.windowMs, at);
  return policy.isQueueShort ? withShortQueue(overridden) : overridden;
}

/** Returns the networks of overrides with their limits, the smallest network first. */
function networksOf(overrides: Overrides): readonly Limited[] {
  const networks =
    read.get(overrides) ??
    overrides
      .flatMap(({ key, limit }) => {
        const network = readNetwork(key);
        return network ? { ...network, limit } : [];
      })
      .sort((one, other) => other.bits - one.bits);
  read.set(overrides, networks);
  return networks;
}

/** Returns the address in a key, or its network. */
function networkIn({ key: parts }: Policy, key: readonly string[]): Network | undefined {
  return readNetwork(key[parts.findIndex(isAddressPart)] ?? "");
}
