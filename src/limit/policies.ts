/** The policies of a configuration: a list with a distinct name for each. */
import { MisuseError } from "./misuse.ts";
import { type Policy, parsePolicy } from "./policy.ts";
import { requireOverrides } from "./policy-overrides.ts";
import { withBoundedDelay } from "./waiting.ts";

/** The rule that a repeated name breaks, as the rest of a sentence. */
export const OTHER_NAME =
  'must be different for each policy: write another name in one of the two (without one it is "default")';

/** @throws {MisuseError} naming the field, the rule and the value */
export function parsePolicies(input: unknown, at: string): Policy[] {
  if (!Array.isArray(input) || input.length === 0) {
    throw new MisuseError(at, "must be a list of at least one policy", input);
  }
  const policies = input.map((given, index) => {
    const place = `${at}[${index}]`;
    const policy = withBoundedDelay(parsePolicy(given, place), place);
    requireOverrides(policy, place);
    return policy;
  });
  const names = new Set<string>();
  for (const [index, { name }] of policies.entries()) {
    if (names.has(name)) {
      throw new MisuseError(`${at}[${index}].name`, OTHER_NAME, name);
    }
    names.add(name);
  }
  return policies;
}
