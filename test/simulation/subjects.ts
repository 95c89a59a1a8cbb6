/** Who is limited in the simulation, and by which policies. */
import { type Policy, parsePolicy } from "../../src/limit/policy.ts";
import { type KeyHash, keyHasher } from "../../src/ring/key-hash.ts";

export const SECRET = "a secret";

export interface Subject {
  key: readonly string[];
  hash: KeyHash;
  /** The policies that each check of it names. */
  policies: readonly Policy[];
  /** The same policies at a cost of two units. */
  dearPolicies: readonly Policy[];
}

/** Policies with windows that end long after a run, and that refill nothing in it. */
const POLICIES = [
  [policy("few", 3, "fixed-window")],
  [{ ...policy("some", 6, "fixed-window"), start: "first" as const }],
  [policy("sliding", 5, "sliding-window")],
  [policy("bucket", 4, "token-bucket")],
  [policy("log", 4, "sliding-log")],
  [policy("kept", 4, "fixed-window", true)],
  [policy("inner", 4, "fixed-window"), policy("outer", 7, "token-bucket")],
];

const hash = keyHasher(SECRET);

/** More subjects than a run has, so that runs have them on different owners. */
export const SUBJECTS: readonly Subject[] = Array.from({ length: 42 }, (_, at) => {
  const key = [`client-${at}`];
  const policies = POLICIES[at % POLICIES.length] as Policy[];
  const dearPolicies = policies.map((each) => ({ ...each, cost: 2 }));
  return { key, hash: hash(key), policies, dearPolicies };
});

/** A quota that all clients share. Requests take of it and of a subject; either may deny. */
export const SITE = subject("site", { ...policy("site", 9, "fixed-window"), key: ["host"] });

/** Asked about so often that isolates lease slices of it. */
export const HOT = subject("hot", { ...policy("hot", 150, "fixed-window"), lease: 0.2 });

/**
 * A customer to whom an operator gives other limits. Durable, so that it is exact after a crash.
 */
export const OVERRIDDEN = subject("overridden", policy("overridden", 4, "fixed-window", true));

/**
 * Asked about under the policies in force, which an operator changes; these are the deployment's.
 */
export const LIVE: Subject = {
  ...subject("live", policy("live", 4, "fixed-window")),
  policies: [policy("live", 4, "fixed-window"), policy("live-too", 1_004, "sliding-window")],
};

/** Answered by isolates, and counted later. */
export const LATER = subject("later", { ...policy("later", 20, "fixed-window"), mode: "after" });

/** Customers whose limits change. */
export const PLANS = ["fixed-window", "sliding-log", "token-bucket", "leaky-bucket"].map(
  (algorithm) => subject(`plan ${algorithm}`, policy(`plan-${algorithm}`, 4, algorithm)),
);

/** Subjects of reservations. Their stored state shows the units spent. */
export const TOKENS = [
  subject("tokens", policy("tokens", 200, "fixed-window")),
  subject("kept tokens", policy("kept-tokens", 200, "fixed-window", true)),
];

export function planAt(policy: Policy, limit: number): Policy {
  return { ...policy, limit, capacity: limit };
}

function subject(name: string, policy: Policy): Subject {
  return { key: [name], hash: hash([name]), policies: [policy], dearPolicies: [policy] };
}

export function hashText({ hi, lo }: KeyHash): string {
  return `${hi}:${lo}`;
}

function policy(name: string, limit: number, algorithm: string, durable = false): Policy {
  return parsePolicy({ name, limit, window: "1d", algorithm, durable });
}
