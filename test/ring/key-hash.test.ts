import fc from "fast-check";
import siphash13 from "siphash/lib/siphash13.js";
import { describe, expect, it } from "vitest";
import { keyHasher, type SipKey, sipHash } from "../../src/ring/key-hash.ts";

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc.string({ unit: "binary", maxLength: 80 });

describe("key hash", () => {
  it("agrees with an independent SipHash-1-3", () => {
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), text, (words, message) => {
        const key = words as unknown as SipKey;
        const { h, l } = siphash13.hash(Uint32Array.from(key), message);
        expect(sipHash(key, message)).toEqual({ hi: h >>> 0, lo: l >>> 0 });
      }),
      { numRuns: 2_000 },
    );
  });

  it("hashes keys longer than its buffer", () => {
    const long = "ü".repeat(5_000);
    const { h, l } = siphash13.hash(new Uint32Array(4), long);
    expect(sipHash([0, 0, 0, 0], long)).toEqual({ hi: h >>> 0, lo: l >>> 0 });
  });

  it("is the same in every isolate and after every restart", () => {
    expect(keyHasher("secret")(["203.0.113.7", "/login"])).toEqual({
      hi: 81858523,
      lo: 3549710219,
    });
  });

  it("changes with the secret", () => {
    expect(keyHasher("one")(["key"])).not.toEqual(keyHasher("two")(["key"]));
  });

  it("tells tuples apart that read the same when joined", () => {
    const hash = keyHasher("secret");
    const tuples = [
      ["ab", "c"],
      ["a", "bc"],
      ["abc"],
      ["abc", ""],
      ["", "abc"],
      ["1:a", "b"],
      ["1:a1:b"],
    ];
    const hashes = new Set(tuples.map((parts) => JSON.stringify(hash(parts))));
    expect(hashes.size).toBe(tuples.length);
  });

  it("tells any two different lists of parts apart", () => {
    const hash = keyHasher("secret");
    const parts = fc.array(fc.string({ unit: fc.constantFrom("0", "1", ":", "a"), maxLength: 3 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        const { hi, lo } = hash(a);
        const other = hash(b);
        expect(hi === other.hi && lo === other.lo).toBe(same);
      }),
      { numRuns: 5_000 },
    );
  });
});
