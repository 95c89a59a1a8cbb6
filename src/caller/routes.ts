/**
 * The way to each key's owner: the ring of each region, as configured until an owner knows better,
 * and from there on wherever the owners say that a key has moved.
 *
 * Nobody is asked for a ring: who has an old one learns of the new one with its next answer.
 */

import { ownerNames, type RingRecord } from "../protocol/ring-record.ts";
import type { Answer } from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import { Ring } from "../ring/ring.ts";

/** Below the version of any ring that somebody has decided on. */
const CONFIGURED = 0;
/** The most owners that are asked about a key, one after the other, because it has moved. */
const MAX_OWNERS = 5;

/** What is asked of a key's owner in a region, by a version of its ring. */
export interface Addressed {
  key: KeyHash;
  region: Region;
  owner: string;
  version: number;
}

/** What an owner says to messages: undefined where their key has moved, by its ring. */
export type Delivered = Pick<Answer, "ring"> & { verdicts: readonly unknown[] };

export class Routes {
  readonly #ownersPerRegion: number;
  readonly #rings = new Map<Region, Ring>();

  constructor(ownersPerRegion: number) {
    this.#ownersPerRegion = ownersPerRegion;
  }

  /** A key's owner in a region, and the version of the ring that says so. */
  to(key: KeyHash, region: Region): { owner: string; version: number } {
    const ring = this.#ring(region);
    return { owner: ring.ownerOf(key), version: ring.version };
  }

  /**
   * Has each owner asked about what is its own, and follows the keys that have moved.
   *
   * @param ask asks an owner
   * @returns those that had moved again each time
   */
  async deliver<Message extends Addressed>(
    messages: Message[],
    ask: (owner: string, batch: Message[]) => Promise<Delivered | undefined>,
    attempts = MAX_OWNERS,
  ): Promise<Message[]> {
    if (messages.length === 0 || attempts === 0) return messages;
    const moved: Message[] = [];
    const askOne = async (owner: string, batch: Message[]) => {
      const answer = await ask(owner, batch);
      if (!answer?.ring) return;
      const { region, version } = batch[0] as Message;
      this.#learn(region, version, answer.ring);
      moved.push(...batch.filter((_, at) => !answer.verdicts[at]));
    };
    const [only] = messages;
    if (only && messages.length === 1) await askOne(only.owner, messages);
    else {
      const batches = Map.groupBy(messages, ({ owner }) => owner);
      await Promise.all(Array.from(batches, ([owner, batch]) => askOne(owner, batch)));
    }
    if (moved.length === 0) return moved;
    const readdressed = moved.map((message) => {
      return { ...message, ...this.to(message.key, message.region) };
    });
    return this.deliver(readdressed, ask, attempts - 1);
  }

  #ring(region: Region): Ring {
    const ring =
      this.#rings.get(region) ?? new Ring(ownerNames(region, this.#ownersPerRegion), CONFIGURED);
    this.#rings.set(region, ring);
    return ring;
  }

  /** @param askedBy the version that the owner was asked by, and gave this ring instead */
  #learn(region: Region, askedBy: number, { owners, version }: RingRecord): void {
    const known = this.#ring(region).version;
    // An earlier one only from an owner that has made sure: there never was the one it was asked by.
    if (version > known || askedBy === known) this.#rings.set(region, new Ring(owners, version));
  }
}
