/** A count checks its event by hand, since the schema takes longer than all the rest of a count. */
import { describe, expect, it } from "vitest";
import {
  checkedKey,
  dimensionsOf,
  type Event,
  eventSchema,
  keyOf,
} from "../../src/events/tuple.ts";
import { MisuseError, parse } from "../../src/limit/misuse.ts";

const EVENT: Event = { name: "api", dimensions: { customer: "c-17" }, amount: 1 };
const NAMES = ["", "a", "B.c-d_1", "1a", "a b", "a\n", "é", "a".repeat(64), "a".repeat(65)];
const TAKEN = ["__proto__", "prototype", "constructor", "turnpike.x", "turnpike-x", "turnpike"];
const VALUES = ["", "x".repeat(256), "x".repeat(257), "\ud800", '"\\', "\u202e<b>\0", 1, null];
const AMOUNTS = [0, -1, 0.5, 1e9, 1e9 + 1, 2 ** 53, 1e308, Number.NaN, "1", 1n, null, {}];
const OBJECTS = [{}, [], ["c-17"], "", "c-17", 1, null, new Map([["a", "b"]]), () => "c-17"];

/** Returns an object that has this field of its own, even one called `__proto__`. */
const having = (name: string, value: unknown) => Object.fromEntries([[name, value]]);
const named = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`d${n}`, ""]));

/** A right event with one thing changed. */
const EVENTS = [
  EVENT,
  ...[...NAMES, ...TAKEN, 1, null].map((name) => ({ ...EVENT, name })),
  ...[...NAMES, ...TAKEN].map((name) => ({ ...EVENT, dimensions: having(name, "value") })),
  ...VALUES.map((value) => ({ ...EVENT, dimensions: { ...EVENT.dimensions, value } })),
  ...[...OBJECTS, named(8), named(9)].map((dimensions) => ({ ...EVENT, dimensions })),
  ...AMOUNTS.map((amount) => ({ ...EVENT, amount })),
] as Event[];

/** Returns a key, or what a refusal says. */
function saidBy(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (error instanceof MisuseError) return error.message;
    throw error;
  }
}

describe("an event that is counted", () => {
  it("is accepted and refused as its schema says, in the schema's words", () => {
    const said = EVENTS.map((event) => saidBy(() => checkedKey(event)));
    const wanted = EVENTS.map((e) => saidBy(() => keyOf(parse(eventSchema, e).dimensions)));
    expect(said).toEqual(wanted);
    expect(said.filter((text) => text.includes(" must "))).toHaveLength(43);
  });

  it("has one key, in whatever order its dimensions are written", () => {
    const written = { endpoint: '/"\\\u2028', customer: "c-17", Zone: "é" };
    const key = keyOf({ Zone: "é", customer: "c-17", endpoint: '/"\\\u2028' });
    expect([keyOf(written), dimensionsOf(key)]).toEqual([key, written]);
    expect(Object.keys(dimensionsOf(key))).toEqual(["Zone", "customer", "endpoint"]);
    expect(keyOf({})).toBe("[]");
  });
});
