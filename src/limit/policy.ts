/**
 * A policy: how many units one key may spend in which window, and what its requests are.
 *
 * Reads and checks what a person wrote, in `wrangler.toml` or in code. The result is what all other
 * code uses: defaults filled in, every duration in milliseconds.
 */
import * as v from "valibot";
import { type Actual, actualSchema, costTextSchema, readActual, readPath } from "./actual.ts";
import { addressListSchema } from "./address-list.ts";
import { MAX_WINDOW_MS, type Quota } from "./algorithm.ts";
import { ALGORITHMS, type AlgorithmName, STARTS, type Start } from "./algorithms.ts";
import { type BlockFor, blockForSchema, readBlockFor } from "./block-for.ts";
import { durationSchema } from "./duration.ts";
import { hasAddress, keyPartSchema } from "./key-part.ts";
import { fieldPath, MisuseError, parse } from "./misuse.ts";
import type { PolicyInput } from "./policy-input.ts";
import { type Refusal, readRefusal, refusalSchema } from "./refusal.ts";
import { booleanSchema, oneOf, textLike, wholeNumber } from "./schemas.ts";
import { MAX_LOG_LIMIT } from "./sliding-log.ts";

/** Largest limit, and so the largest cost. */
export const MAX_UNITS = 1_000_000_000;
const MIN_WINDOW_MS = 1_000;
/** The longest wait of a denied request. */
const MAX_WAIT_MS = 30_000;

/** The largest share of a limit that one isolate gets. */
const MAX_LEASE = 0.5;

const NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;
const METHOD_PATTERN = /^[A-Z]{1,20}$/;
/** A segment's text, with no dots to resolve and no encoded structure. */
const TEXT = String.raw`(?!:|\.\.?(?:\/|$))(?:[^\s/*{}?#%\\]|%(?!2[35ef]|3[bf]|5c|[01])[\da-f]{2})+`;
/** Segments: `*`, `:name` or text. At the end also `*` and an extension, which needs no slash. */
const PATH_PATTERN = new RegExp(
  String.raw`^(?=.)(?:\/(?:\*|:[a-z_]\w*|${TEXT}))*(?:\/|(?:^|\/)\*(?=\.)${TEXT})?$`,
  "i",
);

const nameSchema = textLike(
  NAME_PATTERN,
  "must be 1 to 64 letters, digits, dots, dashes or underscores",
);

/** What a bucket holds, or the cost of a check. */
export const unitsSchema = wholeNumber(1, MAX_UNITS);

const costSchema = v.lazy((input): typeof costTextSchema | typeof unitsSchema =>
  typeof input === "string" ? costTextSchema : unitsSchema,
);

/** Units in a window; with 0, none pass. */
export const limitSchema = wholeNumber(0, MAX_UNITS);

const windowTextSchema = durationSchema(MIN_WINDOW_MS, MAX_WINDOW_MS);
const windowNumberSchema = wholeNumber(MIN_WINDOW_MS, MAX_WINDOW_MS);

/** A window as a function gives it: a duration, or milliseconds. */
export const windowSchema = v.lazy((input): typeof windowTextSchema | typeof windowNumberSchema =>
  typeof input === "number" ? windowNumberSchema : windowTextSchema,
);

const methodSchema = textLike(METHOD_PATTERN, 'must be a method in capitals such as "POST"');

const pathSchema = textLike(
  PATH_PATTERN,
  'must be a path pattern such as "/*", "/login" or "/users/:id"',
);

const exceptSchema = textLike(
  PATH_PATTERN,
  'must be a path pattern such as "/assets/*" or "*.css"',
);

const leaseRule = `must be a share of the limit from 0 to ${MAX_LEASE}`;

const leaseSchema = v.custom<number>(
  (share) => typeof share === "number" && share >= 0 && share <= MAX_LEASE,
  leaseRule,
);

const chargeRule =
  'must be "always", "failure", "success" or a list of statuses such as [401, 403]';

const chargeWordSchema = v.picklist(["always", "failure", "success"], chargeRule);
const statusesSchema = v.pipe(v.array(wholeNumber(200, 999)), v.minLength(1, chargeRule));

const chargeSchema = v.lazy((input): typeof chargeWordSchema | typeof statusesSchema =>
  Array.isArray(input) ? statusesSchema : chargeWordSchema,
);

/** Reads the fields of {@link PolicyInput}, which says what each means. */
export const policySchema = v.strictObject(
  {
    name: v.optional(nameSchema, "default"),
    limit: limitSchema,
    window: windowTextSchema,
    algorithm: v.optional(oneOf(Object.keys(ALGORITHMS) as AlgorithmName[]), "fixed-window"),
    start: v.optional(oneOf(STARTS)),
    burst: v.optional(unitsSchema),
    key: v.optional(
      v.pipe(
        v.array(keyPartSchema, 'must be a list such as ["ip"]'),
        v.minLength(1, "must name at least one part"),
      ),
      ["ip"],
    ),
    path: v.optional(pathSchema, "/*"),
    except: v.optional(v.array(exceptSchema, 'must be a list such as ["/assets/*", "*.css"]'), []),
    method: v.optional(
      v.pipe(
        v.array(methodSchema, 'must be a list such as ["POST"]'),
        v.minLength(1, "must name at least one method, or be left out for all of them"),
      ),
    ),
    cost: v.optional(costSchema, 1),
    actual: v.optional(actualSchema),
    charge: v.optional(chargeSchema, "always"),
    shadow: v.optional(booleanSchema, false),
    maxWait: v.optional(durationSchema(0, MAX_WAIT_MS), "0s"),
    blockFor: v.optional(blockForSchema),
    refusal: v.optional(refusalSchema),
    allow: v.optional(addressListSchema, []),
    deny: v.optional(addressListSchema, []),
    durable: v.optional(booleanSchema, false),
    lease: v.optional(leaseSchema, 0),
    onFailure: v.optional(oneOf(["local", "allow", "deny"]), "local"),
    scope: v.optional(oneOf(["region", "global"])),
  },
  "must be a table of a policy's fields",
);

type PolicyFields = v.InferOutput<typeof policySchema>;

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
    >,
    Quota {
  /** Units that a check takes; 1 where the request's body tells it. */
  cost: number;
  /** The names that lead to the cost in the JSON of the request's body. */
  costPath?: readonly string[];
  /** What of the response tells the actual cost. */
  actual?: Actual;
  start: Start;
  /** As written. `capacity` is what follows from it. */
  burst: number | undefined;
  /** Only of a check: takes what is left of the cost instead of being denied. */
  atMost?: true;
  /** A check's cost is held until it is settled, if it reserves. */
  held?: true;
  /** Does each request have a cost of its own? */
  isPriced?: boolean;
  maxWaitMs: number;
  blockFor: BlockFor | undefined;
  refusal: Refusal | undefined;
  scope: "region" | "global";
}

/**
 * Reads one policy.
 *
 * @param at path of the policy, for the error
 * @throws {MisuseError} naming the field, the rule and the value
 * @example parsePolicy({ limit: 10, window: "60s" }).windowMs // 60_000
 */
export function parsePolicy(input: unknown, at = ""): Policy {
  const { window, cost, actual, start, maxWait, burst, blockFor, refusal, scope, ...fields } =
    parse(policySchema, input, at);
  const { algorithm, charge, lease } = fields;
  const forbid = (field: keyof PolicyInput, isForbidden: boolean, where: string) => {
    if (!isForbidden) return;
    const rule = `must be left out ${where}`;
    throw new MisuseError(fieldPath(at, field), rule, (input as PolicyInput)[field]);
  };
  const isFixed = algorithm === "fixed-window";
  const isBucket = algorithm === "token-bucket" || algorithm === "leaky-bucket";
  forbid(
    "burst",
    burst !== undefined && !isBucket,
    'unless the algorithm is "token-bucket" or "leaky-bucket"',
  );
  forbid("start", start !== undefined && !isFixed, 'unless the algorithm is "fixed-window"');
  // With other algorithms a unit counts from when it is spent, and a lease spends it earlier.
  forbid(
    "lease",
    lease > 0 && (!isFixed || charge !== "always"),
    'unless the algorithm is "fixed-window" and all is charged',
  );
  forbid("lease", lease > 0 && actual !== undefined, 'beside "actual"');
  forbid("actual", actual !== undefined && algorithm === "concurrency", "with this algorithm");
  // A request would wait out its own block, or be denied for a slice that it did not ask for.
  forbid(
    "blockFor",
    blockFor !== undefined && (maxWait > 0 || lease > 0),
    'beside "maxWait" or "lease"',
  );
  const names = fields.path.split("/").filter((segment) => segment.startsWith(":"));
  if (new Set(names).size < names.length) {
    throw new MisuseError(
      fieldPath(at, "path"),
      "must give each segment another name",
      fields.path,
    );
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
 * Returns the policy with another limit or window, as a request's plan may ask for.
 *
 * @throws {MisuseError} if its algorithm cannot count that high
 */
export function withQuota(policy: Policy, limit: number, windowMs: number, at = ""): Policy {
  // Nothing ever passes, so there is nothing to wait for.
  if (limit === 0) return { ...policy, limit, windowMs, capacity: 0, maxWaitMs: 0 };
  const { algorithm, burst } = policy;
  const keepsEntries = algorithm === "sliding-log" || algorithm === "concurrency";
  // All other sums are of units × ms, in doubles, and stay exact below 2^53.
  const most = keepsEntries ? MAX_LOG_LIMIT : Math.floor(Number.MAX_SAFE_INTEGER / 4 / windowMs);
  const capacity = burst === undefined ? limit : algorithm === "leaky-bucket" ? burst + 1 : burst;
  for (const [field, units] of [
    ["limit", limit],
    ["burst", capacity],
  ] as const) {
    if (algorithm === "fixed-window" || units <= most) continue;
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

/**
 * Makes sure that a cost can pass at all. Under a limit of 0, every cost is denied; in shadow, none.
 *
 * @throws {MisuseError} if it exceeds what can be spent at once: waiting would not help
 */
export function requireFits(cost: number, { name, capacity, shadow }: Policy, at = "cost"): void {
  if (cost <= capacity || capacity === 0 || shadow) return;
  throw new MisuseError(
    at,
    `must be at most ${capacity}, the most that "${name}" lets pass at once`,
    cost,
  );
}
