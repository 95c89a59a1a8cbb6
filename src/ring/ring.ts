/**
 * Which owner holds which key: rendezvous hashing (Thaler and Ravishankar, 1998).
 *
 * Each owner scores each key and the highest score wins, so a change moves only the keys that must
 * move, and no table is kept. The price is one multiplication round per owner and lookup, so it
 * suits tens of owners, not thousands. Knows nothing of regions, objects or calls.
 */
import { type KeyHash, PUBLIC_SIP_KEY, sipHash } from "./key-hash.ts";

/** An immutable set of owners. A change makes a new ring, so no lookup sees a half-changed one. */
export class Ring {
  readonly version: number;
  readonly #owners: readonly { readonly name: string; readonly hash: KeyHash }[];

  /**
   * @param names the owners' names, distinct; their order does not matter
   * @param version counts the ring's changes; a later ring has a higher version
   */
  constructor(names: Iterable<string>, version = 1) {
    this.version = version;
    this.#owners = [...new Set(names)]
      .sort()
      .map((name) => ({ name, hash: sipHash(PUBLIC_SIP_KEY, name) }));
  }

  get owners(): string[] {
    return this.#owners.map(({ name }) => name);
  }

  /** @throws {RangeError} if the ring is empty */
  ownerOf(key: KeyHash): string {
    let best = -1;
    let winner: string | undefined;
    for (const { name, hash } of this.#owners) {
      const rank = score(key, hash);
      if (rank > best) {
        best = rank;
        winner = name;
      }
    }
    if (winner === undefined) throw new RangeError("an empty ring has no owner for any key");
    return winner;
  }
}

/** Returns an evenly distributed 32-bit score. Of equal scores, the first owner by name wins. */
function score(key: KeyHash, owner: KeyHash): number {
  return mix(mix(key.lo ^ owner.lo) ^ key.hi ^ owner.hi);
}

/**
 * The finalizer of MurmurHash3: each bit of the input changes each bit of the output half the time.
 */
function mix(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits ^= bits >>> 13;
  bits = Math.imul(bits, 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
