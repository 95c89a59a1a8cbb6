import { describe, expect, it } from "vitest";
import { ownersForLoad, ownersForQuiet } from "../../src/membership/autoscaling.ts";
import { isBusy } from "../../src/owner/load-meter.ts";

const AUTO = { highWater: 400, minOwners: 2, maxOwners: 16 };

describe("elasticity", () => {
  it.each([
    [2, [750, 750], 4],
    [2, [400, 400], 2],
    [2, [401, 400], 3],
    [4, [9_000, 9_000, 9_000, 9_000], 8],
    [12, Array(12).fill(9_000), 16],
    [4, [1_500], 4],
  ])("%i owners with %j checks/s become %i", (count, loads, wanted) => {
    expect(ownersForLoad(count, loads, AUTO)).toBe(wanted);
  });

  it("halves a quiet ring, but not below the fewest", () => {
    expect([9, 4, 3, 2, 1].map((count) => ownersForQuiet(count, AUTO))).toEqual([5, 2, 2, 2, 1]);
  });

  it("changes nothing if it is switched off, and no owner reports", () => {
    const off = { ...AUTO, highWater: 0 };
    expect(ownersForLoad(2, [9_000, 9_000], off)).toBe(2);
    expect(ownersForQuiet(9, off)).toBe(9);
    expect([isBusy(9_000, 0), isBusy(201, 400), isBusy(200, 400)]).toEqual([false, true, false]);
  });
});
