import { describe, expect, it } from "vitest";
import { RecentMap } from "../../src/caller/recent-map.ts";

describe("a map of recent values", () => {
  it("remembers the half of its bound that was used last, and forgets what is beyond its bound", () => {
    for (let count = 110; count < 300; count++) {
      const map = new RecentMap<number, number>(100);
      for (let n = 0; n < count; n++) {
        map.set(n, n);
        // What is looked at stays.
        expect(map.get(0)).toBe(0);
      }
      for (let n = count - 1; n >= count - 49; n--) expect(map.get(n)).toBe(n);
      expect(map.get(count - 101)).toBeUndefined();
    }
  });
});
