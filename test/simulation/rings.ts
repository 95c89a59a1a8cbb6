/** All rings that owners were sent in a run, and which owner decided on which key by each. */

import type { RingRecord } from "../../src/protocol/ring-record.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";
import { hashText, SUBJECTS } from "./subjects.ts";

export class Rings {
  readonly #owners = new Map<number, string>();
  readonly #deciders = new Map<string, string>();

  /** @returns what is wrong with a ring that an owner is sent */
  told({ version, owners, previous }: RingRecord): string | undefined {
    const known = this.#owners.get(version);
    const named = owners.join(", ");
    this.#owners.set(version, named);
    if (known !== undefined) {
      return known === named ? undefined : `ring ${version} is ${named}, and ${known}`;
    }
    const [before, after] = [previous?.owners ?? owners, owners];
    const [from, to] = [new Ring(before), new Ring(after)];
    const isVain = ({ hash }: { hash: KeyHash }) => {
      const [old, next] = [from.ownerOf(hash), to.ownerOf(hash)];
      return old !== next && after.includes(old) && before.includes(next);
    };
    return SUBJECTS.some(isVain) ? `a key moves in vain from ${before} to ${after}` : undefined;
  }

  /** @returns what is wrong if an owner decides on a key by the ring of that version */
  decided(version: number, key: KeyHash, owner: string): string | undefined {
    const id = `${version}/${hashText(key)}`;
    const decider = this.#deciders.get(id) ?? owner;
    this.#deciders.set(id, decider);
    if (decider === owner) return undefined;
    return `${owner} and ${decider} decide on one key by ring ${version}`;
  }
}
