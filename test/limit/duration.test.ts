import { describe, expect, it } from "vitest";
import { formatDuration, parseDuration } from "../../src/limit/duration.ts";

describe("duration", () => {
  it.each([
    ["1ms", 1],
    ["60s", 60_000],
    ["15m", 900_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
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
});
