/** A clock against a machine's that is set back, and an owner's against another that runs ahead. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Clock } from "../src/clock.ts";
import { steady } from "../src/runtime.ts";
import { STILL } from "./fake-runtime.ts";

let machineMs: number;
let clock: Clock;
/** The lines about a clock that was set back. */
let told: unknown[];
/** Lines about one event are a minute apart, so each test begins a day after the last. */
let days = 0;

beforeEach(() => {
  machineMs = 1_000_000;
  clock = new Clock({ now: () => machineMs });
  told = [];
  vi.useFakeTimers({ now: ++days * 86_400_000 });
  vi.spyOn(console, "warn").mockImplementation((line) => void told.push(JSON.parse(line)));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Returns the times of the clock at these times of the machine's. */
function timesAt(...atMs: number[]): number[] {
  return atMs.map((ms) => {
    machineMs = ms;
    return clock.now();
  });
}

describe("a clock", () => {
  it("never runs backwards in a runtime that is steady", () => {
    const runtime = steady({ ...STILL, now: () => machineMs });
    const beforeMs = runtime.now();
    machineMs -= 3_600_000;
    expect(runtime.now()).toBe(beforeMs);
    machineMs += 5_000;
    expect(runtime.now()).toBe(beforeMs + 5_000);
  });

  it("stands still while the machine's is up to 1 s behind, and tells nobody", () => {
    expect(timesAt(5_000, 4_000, 4_900, 5_100)).toEqual([5_000, 5_000, 5_000, 5_100]);
    expect(told).toEqual([]);
  });

  it("runs on if the machine's is set back further, and says so", () => {
    expect(timesAt(90_000, 30_000, 31_000)).toEqual([90_000, 90_000, 91_000]);
    expect(told).toEqual([{ event: "clock-set-back", byMs: 60_000, times: 1 }]);
  });

  it("says so, too, if that happens while the owner is not in memory", () => {
    expect(clock.resume(1_060_000)).toBe(1_060_000);
    expect(timesAt(1_001_000)).toEqual([1_061_000]);
    expect(told).toHaveLength(1);
  });

  it("follows another owner's that runs ahead, and says nothing of a clock set back", () => {
    clock.follow(1_060_000);
    expect(timesAt(1_000_000, 1_001_000)).toEqual([1_060_000, 1_061_000]);
    clock.follow(1_000_000);
    clock.follow(1_061_500);
    expect(timesAt(1_002_000)).toEqual([1_062_500]);
    expect(told).toEqual([]);
    expect(timesAt(942_000)).toEqual([1_062_500]);
    expect(told).toHaveLength(1);
  });

  it("waits for the machine's if another owner's is up to 1 s ahead", () => {
    clock.follow(1_000_900);
    expect(timesAt(1_000_500, 1_001_000)).toEqual([1_000_900, 1_001_000]);
  });
});
