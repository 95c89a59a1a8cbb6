/** Who is limited in the simulation, and by which policies. */
import { type Policy, parsePolicy } from "../../src/limit/policy.ts";
import { type KeyHash, keyHasher } from "../../src/ring/key-hash.ts";

export const SECRET = "a secret";

export interface Subject {
  key: readonly string[];
  hash: KeyHash;
  /** Those that it is always asked about. */
  policies: readonly Policy[];
  /** The same, at two units each. */
  dearPolicies: readonly Policy[];
}

/** Windows that end long after a run, and refill nothing in it. */
const POLICIES = [
  [policy("few", 3, "fixed-window")],
  [policy("some", 6, "fixed-window")],
  [policy("sliding", 5, "sliding-window")],
  [policy("bucket", 4, "token-bucket")],
  [policy("log", 4, "sliding-log")],
  [policy("kept", 4, "fixed-window", true)],
  [policy("inner", 4, "fixed-window"), policy("outer", 7, "token-bucket")],
];

const hash = keyHasher(SECRET);

/** More than a run has, so that each has others on other owners. */
export const SUBJECTS: readonly Subject[] = Array.from({ length: 42 }, (_, at) => {
  const key = [`client-${at}`];
  const policies = POLICIES[at % POLICIES.length] as Policy[];
  const dearPolicies = policies.map((each) => ({ ...each, cost: 2 }));
  return { key, hash: hash(key), policies, dearPolicies };
});

export function idOf({ hi, lo }: KeyHash): string {
  return `${hi}:${lo}`;
}

function policy(name: string, limit: number, algorithm: string, durable = false): Policy {
  return parsePolicy({ name, limit, window: "1d", algorithm, durable });
}
