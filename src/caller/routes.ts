/**
 * The way to each key's owner: the ring of each region, first as configured, then as owners report
 * it.
 *
 * Nobody polls for a ring. A caller with an old one gets the new one with an owner's next answer.
 */

import { ownerNames, type RingRecord } from "../protocol/ring-record.ts";
import type { Answer } from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import { Ring } from "../ring/ring.ts";

/** Version of the configured ring: below that of any ring that a membership object decides on. */
const CONFIGURED = 0;
/** The most owners asked about a key that keeps moving, one after the other. */
const MAX_OWNERS = 5;

/**
 * A key as it is addressed: its owner in a region, and the version of the ring that names the
 * owner.
 */
export interface Addressed {
  key: KeyHash;
  region: Region;
  owner: string;
  version: number;
}

/**
 * What an owner answers: a verdict is undefined if its key has moved, by the ring that comes with
 * it.
 */
export type Delivered = Pick<Answer, "ring"> & { verdicts: readonly unknown[] };

export class Routes {
  readonly #ownersPerRegion: number;
  readonly #rings = new Map<Region, Ring>();

  constructor(ownersPerRegion: number) {
    this.#ownersPerRegion = ownersPerRegion;
  }

  /** Returns a key's owner in a region, and the version of the ring that names it. */
  to(key: KeyHash, region: Region): { owner: string; version: number } {
    const ring = this.#ring(region);
    return { owner: ring.ownerOf(key), version: ring.version };
  }

  /**
   * Asks each owner about its own keys, and follows those that have moved.
   *
   * @param ask asks one owner
   * @returns the messages whose keys moved again each time
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

  /** @param askedBy version that the owner was asked by when it answered with this ring */
  #learn(region: Region, askedBy: number, { owners, version }: RingRecord): void {
    const known = this.#ring(region).version;
    // A newer ring wins. An owner answers with an older one only after it asked the membership
    // object: the version that we asked by never existed.
    if (version > known || askedBy === known) this.#rings.set(region, new Ring(owners, version));
  }
}
