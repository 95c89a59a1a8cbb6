/** The fields of a policy as a person writes it: the form and the bounds of each. */
import * as v from "valibot";
import { actualSchema, costTextSchema } from "./actual.ts";
import { addressListSchema } from "./address-list.ts";
import { MAX_WINDOW_MS } from "./algorithm.ts";
import { ALGORITHMS, type AlgorithmName, STARTS } from "./algorithms.ts";
import { blockForSchema } from "./block-for.ts";
import { durationSchema } from "./duration.ts";
import { keyPartSchema } from "./key-part.ts";
import { modeSchema } from "./mode.ts";
import { refusalSchema } from "./refusal.ts";
import {
  booleanSchema,
  either,
  listOf,
  oneOf,
  someOf,
  textLike,
  textSchema,
  wholeNumber,
} from "./schemas.ts";

/** Largest limit, and so the largest cost. */
export const MAX_UNITS = 1_000_000_000;
const MIN_WINDOW_MS = 1_000;
/** The longest wait of a denied request. */
const MAX_WAIT_MS = 30_000;

/** The largest share of a limit that one isolate gets. */
const MAX_LEASE = 0.5;

const NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;
const METHOD_PATTERN = /^[A-Z]{1,20}$/;
/** A segment's text: not `.` or `..`, and with none of `#%./;?\` or a control encoded. */
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

/** A bucket's `burst`, or the cost of a check. */
export const unitsSchema = wholeNumber(1, MAX_UNITS);

const costSchema = either((cost) => typeof cost === "string", costTextSchema, unitsSchema);

/** Units in a window; with 0, nothing passes. */
export const limitSchema = wholeNumber(0, MAX_UNITS);

const windowTextSchema = durationSchema(MIN_WINDOW_MS, MAX_WINDOW_MS);
const windowNumberSchema = wholeNumber(MIN_WINDOW_MS, MAX_WINDOW_MS);

/** A window as a function gives it: a duration, or milliseconds. */
export const windowSchema = either(
  (window) => typeof window === "number",
  windowNumberSchema,
  windowTextSchema,
);

const methodSchema = textLike(METHOD_PATTERN, 'must be a method in capitals such as "POST"');
const methodsSchema = someOf(methodSchema, 'must be a list such as ["POST"]');

const pathSchema = textLike(
  PATH_PATTERN,
  'must be a path pattern such as "/login", "/users/:id", "/assets/*" or "*.css"',
);

const leaseRule = `must be a share of the limit from 0 to ${MAX_LEASE}`;

const leaseSchema = v.custom<number>(
  (share) => typeof share === "number" && share >= 0 && share <= MAX_LEASE,
  leaseRule,
);

const chargeRule =
  'must be "always", "failure", "success" or a list of statuses such as [401, 403]';

const chargeWordSchema = v.picklist(["always", "failure", "success"], chargeRule);
const statusesSchema = someOf(wholeNumber(200, 999), chargeRule);

const chargeSchema = either(Array.isArray, statusesSchema, chargeWordSchema);

const MAX_OVERRIDES = 1_000;

const overridesSchema = listOf(
  v.strictObject({ key: textSchema, limit: limitSchema }, "must have a key and a limit"),
  MAX_OVERRIDES,
  `must be a list of 1 to ${MAX_OVERRIDES} such as { key = "user-1", limit = 100 }`,
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
    key: v.optional(someOf(keyPartSchema, 'must be a list such as ["ip"]'), ["ip"]),
    path: v.optional(pathSchema, "/*"),
    except: v.optional(v.array(pathSchema, 'must be a list such as ["/assets/*", "*.css"]'), []),
    method: v.optional(methodsSchema),
    cost: v.optional(costSchema, 1),
    actual: v.optional(actualSchema),
    charge: v.optional(chargeSchema, "always"),
    mode: v.optional(modeSchema(methodsSchema), "before"),
    shadow: v.optional(booleanSchema, false),
    maxWait: v.optional(durationSchema(0, MAX_WAIT_MS), "0s"),
    blockFor: v.optional(blockForSchema),
    refusal: v.optional(refusalSchema),
    allow: v.optional(addressListSchema, []),
    deny: v.optional(addressListSchema, []),
    overrides: v.optional(overridesSchema),
    durable: v.optional(booleanSchema, false),
    lease: v.optional(leaseSchema, 0),
    onFailure: v.optional(oneOf(["local", "allow", "deny"]), "local"),
    scope: v.optional(oneOf(["region", "global"])),
  },
  "must be a table of a policy's fields",
);

export type PolicyFields = v.InferOutput<typeof policySchema>;
