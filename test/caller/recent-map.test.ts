import { describe, expect, it } from "vitest";
import { RecentMap } from "../../src/caller/recent-map.ts";

describe("a map of recent values", () => {
  it("remembers the values used last, half its bound, and none beyond its bound", () => {
    for (let count = 110; count < 300; count++) {
      const map = new RecentMap<number, number>(100);
      for (let n = 0; n < count; n++) {
        map.set(n, n);
        // A value that is read stays.
        expect(map.get(0)).toBe(0);
      }
      for (let n = count - 1; n >= count - 49; n--) expect(map.get(n)).toBe(n);
      expect(map.get(count - 101)).toBeUndefined();
    }
  });
});
