/**
 * A policy: which requests it counts, by which key, and how many units a key may spend in a window.
 *
 * Reads and checks what a person wrote, in `wrangler.toml` or in code. The result is what all other
 * code uses: defaults filled in, every duration in milliseconds.
 */
import { type Actual, readActual, readPath } from "./actual.ts";
import { MAX_WINDOW_MS, type Quota } from "./algorithm.ts";
import type { AlgorithmName, Start } from "./algorithms.ts";
import { type BlockFor, readBlockFor } from "./block-for.ts";
import { hasAddress } from "./key-part.ts";
import { fieldPath, MisuseError, parse } from "./misuse.ts";
import { type Mode, readMode } from "./mode.ts";
import type { PolicyInput } from "./policy-input.ts";
import { MAX_UNITS, type PolicyFields, policySchema } from "./policy-schema.ts";
import { type Refusal, readRefusal } from "./refusal.ts";
import { isTable } from "./schemas.ts";
import { MAX_LOG_LIMIT } from "./sliding-log.ts";

/** A policy as the code uses it. */
export interface Policy
  extends Omit<
      PolicyFields,
      | "window"
      | "cost"
      | "actual"
      | "start"
      | "maxWait"
      | "burst"
      | "blockFor"
      | "refusal"
      | "scope"
      | "mode"
    >,
    Quota {
  /** Units that a check takes; 1 if the request's body tells the cost. */
  cost: number;
  /** The names that lead to the cost in the JSON of the request's body. */
  costPath?: readonly string[];
  /** Which part of the response tells the actual cost. */
  actual?: Actual;
  start: Start;
  /** The field as written. `capacity` is computed from it. */
  burst: number | undefined;
  /** Set by a check, never in a configuration: the check takes what is left of its cost. */
  atMost?: true;
  /** In a check that reserves, the cost is held until it is settled. */
  held?: true;
  /** True if two requests may have different costs. */
  isPriced?: boolean;
  maxWaitMs: number;
  /** True if requests are held in the leaky bucket, so that its queue is short at any limit. */
  isQueueShort?: true;
  blockFor: BlockFor | undefined;
  refusal: Refusal | undefined;
  scope: "region" | "global";
  mode: Mode;
  /** Methods whose handlers may start before the verdict, if the mode is `alongside`. */
  aheadMethods: readonly string[];
  /** A field that a function gives for each request. Its value here is a stand-in. */
  perRequest?: "limit" | "window" | "cost" | undefined;
}

/** @throws {MisuseError} unless the options of a policy are an object */
export function requireOptions(options: unknown, at: string): void {
  if (isTable(options)) return;
  throw new MisuseError(at, 'must be options such as { limit: 10, window: "1m" }', options);
}

/**
 * Reads one policy.
 *
 * @param at path of the policy, for the error
 * @throws {MisuseError} naming the field, the rule and the value
 * @example parsePolicy({ limit: 10, window: "60s" }).windowMs // 60_000
 */
export function parsePolicy(input: unknown, at = ""): Policy {
  const { window, cost, actual, start, maxWait, burst, blockFor, refusal, scope, mode, ...fields } =
    parse(policySchema, input, at);
  const { algorithm, charge, lease } = fields;
  const forbid = (field: keyof PolicyInput, isForbidden: unknown, where: string) => {
    if (!isForbidden) return;
    const rule = `must be left out ${where}`;
    throw new MisuseError(fieldPath(at, field), rule, (input as PolicyInput)[field]);
  };
  const isFixed = algorithm === "fixed-window";
  const isBucket = algorithm === "token-bucket" || algorithm === "leaky-bucket";
  forbid("burst", burst && !isBucket, 'unless the algorithm is "token-bucket" or "leaky-bucket"');
  forbid("start", start && !isFixed, 'unless the algorithm is "fixed-window"');
  // With other algorithms a unit counts from the time when it is spent, and leases spend too early.
  const isLeasable = isFixed && charge === "always";
  forbid(
    "lease",
    lease && !isLeasable,
    'unless the algorithm is "fixed-window" and all is charged',
  );
  forbid("lease", lease && actual, 'beside "actual"');
  forbid("actual", actual && algorithm === "concurrency", "with this algorithm");
  // With `maxWait`, a request would wait out its own block. With `lease`, a key would be blocked
  // because an isolate asked for more than the request costs.
  forbid("blockFor", blockFor && (maxWait || lease), 'beside "maxWait" or "lease"');
  const names = fields.path.split("/").filter((segment) => segment.startsWith(":"));
  if (new Set(names).size < names.length) {
    const rule = "must give each segment another name";
    throw new MisuseError(fieldPath(at, "path"), rule, fields.path);
  }
  for (const [index, part] of fields.key.entries()) {
    if (!part.startsWith("param:") || names.includes(part.slice("param".length))) continue;
    const rule = `must name a ":name" of the path, which is "${fields.path}"`;
    throw new MisuseError(fieldPath(fieldPath(at, "key"), index), rule, part);
  }
  const policy = withQuota(
    {
      ...fields,
      cost: typeof cost === "string" ? 1 : cost,
      ...(typeof cost === "string" && { costPath: readPath(cost), isPriced: true }),
      ...(actual !== undefined && { actual: readActual(actual), held: true, isPriced: true }),
      windowMs: window,
      start: start ?? "aligned",
      burst,
      capacity: 0,
      maxWaitMs: maxWait,
      blockFor:
        blockFor === undefined ? undefined : readBlockFor(blockFor, fieldPath(at, "blockFor")),
      refusal: refusal && readRefusal(refusal, fieldPath(at, "refusal")),
      ...readMode(mode, { ...fields, actual, maxWait }, at),
      scope: scope ?? (hasAddress(fields.key) ? "region" : "global"),
    },
    fields.limit,
    window,
    at,
  );
  requireFits(policy.cost, { ...policy, shadow: false }, fieldPath(at, "cost"));
  return policy;
}

/**
 * Returns the policy with another limit or window, such as those of a customer's plan.
 *
 * @throws {MisuseError} if its algorithm cannot count that high, or its burst takes over 366 days
 */
export function withQuota(policy: Policy, limit: number, windowMs: number, at = ""): Policy {
  // With a limit of 0 nothing ever passes, so waiting is useless.
  if (limit === 0) return { ...policy, limit, windowMs, capacity: 0, maxWaitMs: 0 };
  const { algorithm, burst } = policy;
  const most = mostUnits(algorithm, windowMs);
  const capacity = burst === undefined ? limit : algorithm === "leaky-bucket" ? burst + 1 : burst;
  for (const [field, units] of [
    ["limit", limit],
    ["burst", capacity],
  ] as const) {
    if (units <= most) continue;
    const rule = `must be at most ${most} with this algorithm and window`;
    throw new MisuseError(fieldPath(at, field), rule, units);
  }
  if (burst !== undefined && (capacity / limit) * windowMs > MAX_WINDOW_MS) {
    const mostBurst = Math.floor((MAX_WINDOW_MS / windowMs) * limit) - (capacity - burst);
    const rule = `must be at most ${mostBurst} with this limit and window, since an empty bucket must be full again within ${MAX_WINDOW_MS / 86_400_000} days`;
    throw new MisuseError(fieldPath(at, "burst"), rule, burst);
  }
  return { ...policy, limit, windowMs, capacity };
}

/** Returns the highest limit, and the most that a bucket may hold, with an algorithm and window. */
export function mostUnits(algorithm: AlgorithmName, windowMs: number): number {
  if (algorithm === "fixed-window") return MAX_UNITS;
  if (algorithm === "sliding-log" || algorithm === "concurrency") return MAX_LOG_LIMIT;
  // The compiler asks here for the bound of a new algorithm.
  algorithm satisfies "sliding-window" | "token-bucket" | "leaky-bucket";
  // These algorithms add up units × ms in doubles, which are exact below 2^53.
  return Math.min(MAX_UNITS, Math.floor(Number.MAX_SAFE_INTEGER / 4 / windowMs));
}

/**
 * Makes sure that a cost can pass at all. Any cost is accepted under a limit of 0, which denies
 * all, and in shadow, which denies none.
 *
 * @throws {MisuseError} if the cost exceeds what can be spent at once: waiting would not help
 */
export function requireFits(cost: number, { name, capacity, shadow }: Policy, at = "cost"): void {
  if (cost <= capacity || capacity === 0 || shadow) return;
  const rule = `must be at most ${capacity}, the most that "${name}" lets pass at once`;
  throw new MisuseError(at, rule, cost);
}
