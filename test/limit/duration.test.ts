import { describe, expect, it } from "vitest";
import { pace } from "../../src/limit/bucket.ts";
import {
  durationSchema,
  formatDuration,
  parseDuration,
  per,
  spoken,
} from "../../src/limit/duration.ts";
import { parse } from "../../src/limit/misuse.ts";

describe("duration", () => {
  it.each([
    ["1ms", 1],
    ["60s", 60_000],
    ["15m", 900_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
    ["1w", 604_800_000],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(["", "60", "s", "-1s", "1.5s", "1h30m", "10 parsecs", " 1s", "1s\n", "1S"])(
    "does not read %j",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it("writes the largest unit that divides", () => {
    expect([1, 1_500, 60_000, 90_000, 86_400_000].map(formatDuration)).toEqual([
      "1ms",
      "1500ms",
      "1m",
      "90s",
      "1d",
    ]);
  });

  it.each([
    [0, "0 s"],
    [1, "1 s"],
    [13_196, "14 s"],
    [59_999, "1 min"],
    [60_001, "1 min 1 s"],
    [754_000, "12 min 34 s"],
    [3_599_001, "1 h"],
    [16_093_000, "4 h 29 min"],
    [86_399_999, "1 day"],
    [90_000_000, "1 day 1 h"],
    [172_799_999, "2 days"],
    [31_622_400_000, "366 days"],
  ])("says %d ms to a person in two units at most, rounded up: %s", (ms, text) => {
    expect(spoken(ms)).toBe(text);
  });

  it.each([
    [1_000, "per s"],
    [1_500, "per 1500ms"],
    [60_000, "per min"],
    [90_000, "per 1 min 30 s"],
    [900_000, "per 15 min"],
    [3_600_000, "per h"],
    [86_400_000, "per day"],
    [90_060_000, "per 1501m"],
    [2_592_000_000, "per 30 days"],
  ])("says a window of %d ms behind a limit, exactly: %s", (windowMs, text) => {
    expect(per(windowMs)).toBe(text);
  });

  it.each([
    [600, 60_000, "100ms"],
    [1_000, 2_592_000_000, "43 min 12 s"],
    [7, 60_000, "8571.429ms"],
    [3_000, 1_000, "0.333ms"],
    [10_000_000, 1_000, "0.0001ms"],
    [1_000_000_000, 1_000, "0.000001ms"],
  ])("writes how long a unit of %d in %d ms takes to drain: %s", (limit, windowMs, text) => {
    expect(pace({ limit, windowMs, capacity: limit })).toBe(text);
  });

  const windows = durationSchema(1_000, 366 * 86_400_000);
  const rule = 'window must be a duration from 1s to 366d such as "1m"';

  it.each([
    ["1h30m", "90m"],
    ["PT1M", "1m"],
    ["P1M", "30d"],
    ["PT1H30M", "90m"],
    ["P1DT12H", "36h"],
    ["P2W", "14d"],
    ["1mo", "30d"],
    ["1 month", "30d"],
    ["1y", "365d"],
    ["60", "1m"],
    [60, "1m"],
    [60_000, "1m"],
    [1_500, "1500ms"],
    ["60000", "1000m"],
    ["1.5h", "90m"],
    ["5 minutes", "5m"],
    ["1 hour, 5 min", "65m"],
    ["2hrs", "2h"],
    ["10sec", "10s"],
    ["5000 milliseconds", "5s"],
    ["5000msec", "5s"],
    ["1D", "1d"],
    ["60s ", "1m"],
  ])("refuses %j and says how to write it", (text, written) => {
    const message = `${rule} (write "${written}"), got ${JSON.stringify(text)}`;
    expect(() => parse(windows, text, "window")).toThrow(expect.objectContaining({ message }));
    expect(parse(windows, written)).toBeGreaterThan(0);
  });

  it.each([
    "",
    "s",
    "soon",
    "10 parsecs",
    "1 mile",
    "0",
    "0s",
    "2y",
    "1ms",
    -60,
    null,
    {},
    Object.create(null),
    "∞",
  ])("refuses %j without a guess if no guess is within bounds", (value) => {
    expect(() => parse(windows, value, "window")).toThrow(`${rule}, got`);
  });
});
