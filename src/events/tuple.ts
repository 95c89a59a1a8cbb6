/**
 * What is counted: a name, such as `api`, and up to 8 dimensions with a value each, such as
 * `{ customer: "c-17", endpoint: "/search" }`. Together they are a tuple.
 *
 * The dimensions as text are the key. Equal dimensions have the same key, in whatever order.
 */
import * as v from "valibot";
import { parse } from "../limit/misuse.ts";
import { textLike, wholeNumber } from "../limit/schemas.ts";

/** The values of an event, by the names of their dimensions. */
export type Dimensions = Readonly<Record<string, string>>;

/** The most dimensions of an event. */
export const MAX_DIMENSIONS = 8;
/** The longest value of a dimension, in UTF-16 units. */
const MAX_VALUE_CHARS = 256;
/** The largest amount of one event. */
const MAX_AMOUNT = 1_000_000_000;

/** Stands for a key: these units' tuple was not kept. */
export const UNKNOWN = "";

const NAME = /^[A-Za-z][\w.-]{0,63}$/;
export const nameSchema = textLike(
  NAME,
  "must be a letter and at most 63 letters, digits, _, . and - behind it",
);

const valueRule = `must be text of at most ${MAX_VALUE_CHARS} characters`;
export const valueSchema = v.pipe(
  v.string(valueRule),
  v.maxLength(MAX_VALUE_CHARS, valueRule),
  v.check((value) => value.isWellFormed(), "must be well-formed Unicode"),
);

/** A record of valibot drops these names without an error. */
const FORBIDDEN = ["__proto__", "prototype", "constructor"];

const forbidden = v.never(`must have no dimension that is called ${FORBIDDEN.join(", ")}`);
const objectRule = "must be an object of texts";
const allowed = v.pipe(
  v.record(nameSchema, valueSchema, objectRule),
  v.check(
    (dimensions) => Object.keys(dimensions).length <= MAX_DIMENSIONS,
    `must be at most ${MAX_DIMENSIONS} dimensions`,
  ),
);
export const dimensionsSchema = v.lazy((dimensions): v.GenericSchema<unknown, Dimensions> => {
  // For valibot a list is a record.
  if (Array.isArray(dimensions)) return v.never(objectRule);
  return FORBIDDEN.some((name) => Object.hasOwn(Object(dimensions), name)) ? forbidden : allowed;
});

/** Names that the limiter keeps for what it counts of itself. */
const RESERVED = /^turnpike[.-]/;

/** One event: what happened, to what, and how often. */
export const eventSchema = v.strictObject(
  {
    name: v.pipe(
      nameSchema,
      v.check(
        (name) => !RESERVED.test(name),
        'must not begin with "turnpike." or "turnpike-", which the limiter counts itself',
      ),
    ),
    dimensions: v.optional(dimensionsSchema, {}),
    amount: v.optional(wholeNumber(1, MAX_AMOUNT), 1),
  },
  "must be an object",
);

/** The most events of one call. */
const MAX_EVENTS = 1_000;
const eventsRule = `must be a list of 1 to ${MAX_EVENTS} events`;

/** Events of one call. */
export const eventsSchema = v.pipe(
  v.array(eventSchema, eventsRule),
  v.minLength(1, eventsRule),
  v.maxLength(MAX_EVENTS, eventsRule),
);

export interface Event {
  name: string;
  dimensions: Dimensions;
  amount: number;
}

/**
 * Checks an event, and returns the key of its dimensions.
 *
 * The schema takes twice as long as all the rest of a count. So only an event that may be wrong is
 * given to the schema, which then says what is wrong.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function checkedKey(event: Event): string {
  return keyOf(isRight(event) ? event.dimensions : parse(eventSchema, event).dimensions);
}

function isRight({ name, dimensions, amount }: Event): boolean {
  if (typeof dimensions !== "object" || dimensions === null || Array.isArray(dimensions)) {
    return false;
  }
  const names = Object.keys(dimensions);
  return (
    isName(name) &&
    !RESERVED.test(name) &&
    names.length <= MAX_DIMENSIONS &&
    names.every((each) => isName(each) && isValue(dimensions[each])) &&
    Number.isInteger(amount) &&
    amount >= 1 &&
    amount <= MAX_AMOUNT
  );
}

function isName(text: unknown): boolean {
  return typeof text === "string" && NAME.test(text) && !FORBIDDEN.includes(text);
}

function isValue(value: unknown): boolean {
  return typeof value === "string" && value.length <= MAX_VALUE_CHARS && value.isWellFormed();
}

/** Returns the dimensions as text, which is the same for equal dimensions. */
export function keyOf(dimensions: Dimensions): string {
  const names = Object.keys(dimensions);
  // Most callers write them in order, and a sort would take longer than all else here.
  if (!isSorted(names)) names.sort();
  const flat: (string | undefined)[] = [];
  for (const name of names) flat.push(name, dimensions[name]);
  return JSON.stringify(flat);
}

function isSorted(texts: readonly string[]): boolean {
  for (let at = 1; at < texts.length; at++) {
    if ((texts[at - 1] as string) > (texts[at] as string)) return false;
  }
  return true;
}

/** Returns the dimensions that a key stands for, sorted by name. */
export function pairsOf(key: string): [name: string, value: string][] {
  const flat: string[] = JSON.parse(key);
  return Array.from({ length: flat.length / 2 }, (_, at) => [
    flat[2 * at] as string,
    flat[2 * at + 1] as string,
  ]);
}

export function dimensionsOf(key: string): Dimensions {
  return Object.fromEntries(pairsOf(key));
}
