/** Values in JSON and in event streams, however they are cut into pieces. */
import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jsonValues, MAX_CHARS } from "../../src/http/cost/json-values.ts";

/** Reads text in pieces that end at these places, and returns the last value found. */
function lastIn(text: string, cuts: readonly number[], type = "text/event-stream", path = ["n"]) {
  let last: number | undefined;
  const values = jsonValues(type, [path], (_, value) => {
    last = value;
  });
  const ends = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, text.length]) {
    values?.push(text.slice(from, end));
    from = end;
  }
  values?.end();
  return last;
}

/** Returns what a well-kept parser reads of the same text. */
function lastByLibrary(text: string): number | undefined {
  let last: number | undefined;
  const parser = createParser({
    onEvent({ data }) {
      try {
        const { n } = JSON.parse(data) ?? {};
        if (Number.isInteger(n) && n >= 0) last = n;
      } catch {}
    },
  });
  parser.feed(text);
  return last;
}

describe("an event stream", () => {
  const line = fc.oneof(
    fc.nat(99).map((n) => `data: {"n":${n}}`),
    fc.nat(99).map((n) => `data:{"n":${n},"s":"ü\\n"}`),
    fc.constantFrom(
      ...['data: {"n"', "data: :5}", "data", "data:", ": comment", "event: x", "id: 1", "retry: 9"],
      ...["data:  {", 'data: "n":7}', "", "", "", "data: [DONE]", 'dataset: {"n":1}', " data: 1"],
    ),
  );
  const end = fc.constantFrom("\n", "\r\n", "\r");

  it("is read as a well-kept library reads it, in pieces of any length", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(line, end)), fc.array(fc.nat(300)), (lines, cuts) => {
        const text = lines.map((each) => each.join("")).join("");
        expect(lastIn(text, cuts)).toBe(lastByLibrary(`${text}\n`));
      }),
      { numRuns: 2_000 },
    );
  });

  it("has the value of its last event that has one", () => {
    const text =
      'data: {"a":{"b":3}}\n\ndata: {"a":{"b":4}}\n\ndata: {"a":null}\n\ndata: [DONE]\n\n';
    expect(lastIn(text, [], "text/event-stream; charset=utf-8", ["a", "b"])).toBe(4);
  });

  it("is read on after an event that is too long", () => {
    const long = `data: {"n":1,"s":"${"x".repeat(MAX_CHARS)}"}\n\n`;
    const many = `data: ${"x".repeat(9_999)}\n`.repeat(MAX_CHARS / 9_000);
    const cuts = Array.from({ length: 99 }, (_, at) => at * 65_536);
    expect(lastIn(long, cuts)).toBeUndefined();
    expect(lastIn(`${long}data: {"n":2}\n\n`, cuts)).toBe(2);
    expect(lastIn(`${many}data: {"n":3}\n\ndata: {"n":4}\n\n`, cuts)).toBe(4);
  });
});

describe("JSON", () => {
  it.each([
    ["application/json", '{"n":5}', 5],
    ["application/json; charset=utf-8", ' {"m":[],"n":0} ', 0],
    ["application/problem+json", '{"n":5}', 5],
    ["application/x-ndjson", '{"n":5}\n{"n":6}\n{"m":1}', 6],
    ["application/json", '{"n":-1}', undefined],
    ["application/json", '{"n":1.5}', undefined],
    ["application/json", '{"n":1e10}', undefined],
    ["application/json", '{"n":"5"}', undefined],
    ["application/json", '[{"n":5}]', undefined],
    ["application/json", "null", undefined],
    ["application/json", "", undefined],
    ["text/html", '{"n":5}', undefined],
    ["", '{"n":5}', undefined],
  ])("of type %s: %s", (type, text, value) => {
    expect(lastIn(text, [3], type)).toBe(value);
  });

  it("is not looked at beyond a bound", () => {
    const text = JSON.stringify({ n: 5, s: "x".repeat(MAX_CHARS) });
    expect(lastIn(text, [100, 200], "application/json")).toBeUndefined();
  });
});
