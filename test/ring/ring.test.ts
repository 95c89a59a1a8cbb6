import { describe, expect, it } from "vitest";
import { keyHasher } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";

const KEYS = 100_000;
const hash = keyHasher("secret");
const keys = Array.from({ length: KEYS }, (_, index) =>
  hash([`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`]),
);

function ownersOfAll(ring: Ring): string[] {
  return keys.map((key) => ring.ownerOf(key));
}

function count(owners: string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const owner of owners) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  return counts;
}

describe("ring", () => {
  it("gives each of three owners a third of 100,000 keys, within 2 %", () => {
    const shares = count(ownersOfAll(new Ring(["weur/0", "weur/1", "weur/2"])));
    expect(shares.size).toBe(3);
    for (const share of shares.values()) {
      expect(Math.abs(share / (KEYS / 3) - 1)).toBeLessThan(0.02);
    }
  });

  it("moves exactly the keys of a removed owner, and restores the map when it is added back", () => {
    const before = ownersOfAll(new Ring(["weur/0", "weur/1", "weur/2"]));
    const during = ownersOfAll(new Ring(["weur/0", "weur/2"]));
    for (const [index, owner] of before.entries()) {
      if (owner === "weur/1") expect(during[index]).not.toBe("weur/1");
      else if (during[index] !== owner) expect.unreachable(`key ${index} moved from ${owner}`);
    }
    expect(ownersOfAll(new Ring(["weur/0", "weur/2", "weur/1"]))).toEqual(before);
  });

  it("moves one nth of the keys to an added owner, and no others", () => {
    const names = ["weur/0", "weur/1", "weur/2", "weur/3"];
    const before = ownersOfAll(new Ring(names));
    const after = ownersOfAll(new Ring([...names, "weur/4"]));
    const moved = after.filter((owner, index) => owner !== before[index]);
    expect(new Set(moved)).toEqual(new Set(["weur/4"]));
    expect(Math.abs(moved.length / KEYS - 1 / 5)).toBeLessThan(0.01);
  });

  it("does not depend on the order in which owners came", () => {
    const names = ["weur/0", "weur/1", "weur/2"];
    expect(ownersOfAll(new Ring([...names].reverse()))).toEqual(ownersOfAll(new Ring(names)));
  });

  it("keeps the map it had in earlier releases", () => {
    const ring = new Ring(["weur/0", "weur/1", "weur/2", "weur/3"]);
    expect(
      keys
        .slice(0, 12)
        .map((key) => ring.ownerOf(key).slice(-1))
        .join(""),
    ).toBe("020012303001");
  });

  it("refuses to look a key up in an empty ring", () => {
    const empty = new Ring([]);
    expect(() => empty.ownerOf(hash(["key"]))).toThrow("an empty ring has no owner for any key");
  });
});
