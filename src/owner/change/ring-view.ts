/**
 * What an owner knows of its ring: which keys are its own, which it has yet to take over, and which
 * counts are lost.
 *
 * The membership object tells it of rings. The owner asks that object if it has no ring, or if a
 * caller or another owner knows a later one. A ring is on disk before it counts: an owner that
 * forgot it would count keys that have moved.
 */

import type { CounterPolicy } from "../../counters/check.ts";
import { InvalidError } from "../../limit/misuse.ts";
import { logSeldom } from "../../log.ts";
import { withDeadline } from "../../protocol/deadline.ts";
import {
  type RingRecord,
  readRingRecord,
  regionOfOwner,
  supersedes,
} from "../../protocol/ring-record.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { Ring } from "../../ring/ring.ts";
import type { Runtime } from "../../runtime.ts";
import type { Owner } from "../owner.ts";

export interface RingViewOptions {
  /** The owner's name, such as `weur/3`. */
  name: string;
  owner: Owner;
  storage: Pick<DurableObjectStorage, "get" | "put">;
  /** Asks the membership object of the owner's region. */
  askRing: () => Promise<RingRecord>;
  runtime: Runtime;
}

const STORAGE_KEY = "ring";
/** Version before any ring is known; no caller has it. */
const UNKNOWN = -1;
/** How long the membership object may take to answer. */
const ASK_DEADLINE_MS = 2_000;

export class RingView {
  readonly #options: RingViewOptions;
  #record: RingRecord | undefined;
  #ring = new Ring([], UNKNOWN);
  #previous: Ring | undefined;
  #losses: { owner: string; ring: Ring; atMs: number }[] = [];
  #givenUp = new Set<string>();
  #asking: Promise<void> | undefined;
  #adopting = Promise.resolve();

  constructor(options: RingViewOptions) {
    this.#options = options;
  }

  /** The ring; undefined until one is known. */
  get record(): RingRecord | undefined {
    return this.#record;
  }

  get ring(): Ring {
    return this.#ring;
  }

  /** The ring that keys are taken over from; undefined while no change is under way. */
  get previous(): Ring | undefined {
    return this.#previous;
  }

  /**
   * Can a batch sent by that version be counted without a look at its keys? It can if the ring has
   * settled at that version, and no count is in doubt.
   */
  isPlain(version: number): boolean {
    const isSettled = version === this.#ring.version && !this.#previous;
    return isSettled && this.#losses.length === 0 && !this.#options.owner.handover.hasDoubts;
  }

  async load(): Promise<void> {
    const stored = await this.#options.storage.get(STORAGE_KEY);
    const record = stored === undefined ? undefined : this.#read(stored);
    if (record) this.#use(record);
    // An owner outside the ring must not take a caller's word for it. If nobody answers now, the
    // first check asks again.
    if (!this.#record) await this.catchUp(1).catch(() => {});
  }

  /**
   * Asks for the ring if somebody knows that version and this owner does not.
   *
   * @returns whether it knows that version now, or a later one
   * @throws {Error} if the membership object does not answer
   */
  async catchUp(version: number): Promise<boolean> {
    const isBehind = () => !this.#record || version > this.#record.version;
    // The first answer may have been under way for an earlier question, before there was such a
    // ring.
    for (let asked = 0; asked < 2 && isBehind(); asked++) await this.#ask();
    if (!isBehind()) return true;
    const { name: owner } = this.#options;
    const known = this.#ring.version;
    logSeldom("error", "ring-refused", owner, { owner, version, known });
    return false;
  }

  /**
   * Adopts a ring, unless it says nothing new.
   *
   * @throws {Error} if it can't be a ring of this region
   */
  async adopt(value: unknown): Promise<void> {
    const record = this.#read(value);
    if (!record) throw new Error("not a ring of this region");
    // One after the other: the rows that one adoption removes are gone before the next begins.
    const adopting = this.#adopting.then(() => this.#adopt(record));
    this.#adopting = adopting.catch(() => {});
    return adopting;
  }

  isMine(key: KeyHash): boolean {
    return this.#ring.ownerOf(key) === this.#options.name;
  }

  /** Returns the owner to ask for a key's counters; undefined if they are here. */
  heldBy(key: KeyHash): string | undefined {
    const holder = this.#previous?.ownerOf(key);
    if (holder === undefined || holder === this.#options.name) return undefined;
    return this.#options.owner.handover.hasTaken(key) ? undefined : holder;
  }

  /**
   * Was an owner given up in the change under way, with all that it held? An owner that was given
   * up earlier and has come back holds counts again.
   */
  isLost(owner: string): boolean {
    return this.#givenUp.has(owner);
  }

  /** Is everything here that a key has spent under these policies? */
  isExact(key: KeyHash, policies: readonly CounterPolicy[], nowMs: number): boolean {
    const longestMs = Math.max(...policies.map(spanMs));
    const doubtedMs = this.#options.owner.handover.doubtedMs(key);
    if (doubtedMs !== undefined && nowMs - doubtedMs < longestMs) return false;
    return !this.#losses.some(
      ({ owner, ring, atMs }) => nowMs - atMs < longestMs && ring.ownerOf(key) === owner,
    );
  }

  /** Puts the ring back on disk after everything there was deleted. */
  keep(): void {
    const { storage, name } = this.#options;
    if (!this.#record?.owners.includes(name)) return;
    void storage.put({ [STORAGE_KEY]: this.#record }, { allowUnconfirmed: true });
  }

  /** Asks once, however many wait for the answer. */
  #ask(): Promise<void> {
    this.#asking ??= withDeadline(ASK_DEADLINE_MS, this.#options.askRing(), this.#options.runtime)
      .then((record) => this.adopt(record))
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }

  /** Reads a ring. If it can't be one, logs that and returns undefined. */
  #read(value: unknown): RingRecord | undefined {
    const { name } = this.#options;
    try {
      return readRingRecord(regionOfOwner(name), value);
    } catch (error) {
      if (!(error instanceof InvalidError)) throw error;
      logSeldom("error", "ring-refused", name, { owner: name, detail: error.message });
      return undefined;
    }
  }

  async #adopt(record: RingRecord): Promise<void> {
    if (!supersedes(record, this.#record)) return;
    const { owner, storage, name, runtime } = this.#options;
    const isPart = [record, record.previous].some((ring) => ring?.owners.includes(name));
    if (!record.previous || !isPart) {
      const ring = new Ring(record.owners, record.version);
      // An owner that hears of a change only when it is over still counts by the old ring here. So
      // it must not pause: a check could come between.
      const isKnown = record.version === this.#record?.version;
      const removing = owner.handover.letGo((key) => ring.ownerOf(key) === name);
      for (const _ of removing) if (isKnown) await runtime.wait(0);
    }
    this.#use(record);
    if (!isPart) return owner.saver.clear();
    // In one turn: beside a new ring on disk, old counters would come back.
    const saved = record.previous ? undefined : owner.saver.save();
    await Promise.all([saved, storage.put({ [STORAGE_KEY]: record })]);
  }

  #use(record: RingRecord): void {
    const { version, owners, previous, lost } = record;
    this.#record = record;
    this.#ring = new Ring(owners, version);
    this.#previous = previous && new Ring(previous.owners, previous.version);
    this.#losses = lost.map((loss) => ({ ...loss, ring: new Ring(loss.owners) }));
    this.#givenUp = givenUpIn(record);
    this.#options.owner.handover.begin(previous?.version);
    // A key that was with another owner may have been reset there.
    this.#options.owner.beginEpoch();
  }
}

/**
 * Returns the owners that were given up since the change under way began. A change begins with the
 * version after the previous ring's, and each owner that is given up adds one.
 */
function givenUpIn({ version, previous, lost }: RingRecord): Set<string> {
  const givenUp = new Set<string>();
  if (!previous) return givenUp;
  for (const { owner } of lost.toReversed()) {
    if (!givenUp.has(owner) && givenUp.size === version - previous.version - 1) break;
    givenUp.add(owner);
  }
  return givenUp;
}

/** Returns how long anything counted under a policy can matter. */
function spanMs({ windowMs, capacity, limit, blockFor }: CounterPolicy): number {
  const countMs = Math.max(2 * windowMs, Math.ceil((capacity / (limit || 1)) * windowMs));
  // A block, and the time in which it makes the next one longer.
  return Math.max(countMs, 3 * (blockFor?.maxMs ?? 0));
}
