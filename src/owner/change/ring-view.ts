/**
 * What an owner knows of its ring: which keys are its own, which it has yet to take over, and of
 * which some counts are lost.
 *
 * Told by the membership object, and asks it where a caller or another owner knows of a later ring.
 * A ring is on disk before it counts: an owner that forgot it would count for keys that have moved.
 */

import type { CounterPolicy } from "../../counters/check.ts";
import { MisuseError } from "../../limit/misuse.ts";
import { logSeldom } from "../../log.ts";
import { withDeadline } from "../../protocol/deadline.ts";
import {
  type RingRecord,
  readRingRecord,
  regionOf,
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
/** The version of a ring that nobody has told of yet; no caller has it. */
const UNKNOWN = -1;
/** How long the membership object may take. */
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

  /** The ring; undefined as long as nobody could say what it is. */
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

  /** Is the ring of that version this owner's, every key sent by it at home here, and no count lost? */
  isPlain(version: number): boolean {
    const isSettled = version === this.#ring.version && !this.#previous;
    return isSettled && this.#losses.length === 0 && !this.#options.owner.handover.hasDoubts;
  }

  async load(): Promise<void> {
    const stored = await this.#options.storage.get(STORAGE_KEY);
    const record = stored === undefined ? undefined : this.#read(stored);
    if (record) this.#use(record);
    // One that left the ring, or never was in it, must not take a caller's word for it. Where
    // nobody answers now, the first check asks again.
    if (!this.#record) await this.catchUp(1).catch(() => {});
  }

  /**
   * Asks for the ring where somebody has heard of that version, and this owner has not.
   *
   * @returns whether that version is known now, or a later one
   * @throws {Error} if the membership object does not answer
   */
  async catchUp(version: number): Promise<boolean> {
    const isBehind = () => !this.#record || version > this.#record.version;
    // The first answer may have been on its way to another before there was such a ring.
    for (let asked = 0; asked < 2 && isBehind(); asked++) await this.#ask();
    if (!isBehind()) return true;
    const { name: owner } = this.#options;
    const known = this.#ring.version;
    logSeldom("error", "ring-refused", owner, { owner, version, known });
    return false;
  }

  /**
   * Hears of a ring. What is no news changes nothing.
   *
   * @throws {Error} if it can't be a ring of this region
   */
  async adopt(value: unknown): Promise<void> {
    const record = this.#read(value);
    if (!record) throw new Error("not a ring of this region");
    // One after the other: what the last one lets go of is gone before the next begins.
    const adopting = this.#adopting.then(() => this.#adopt(record));
    this.#adopting = adopting.catch(() => {});
    return adopting;
  }

  isMine(key: KeyHash): boolean {
    return this.#ring.ownerOf(key) === this.#options.name;
  }

  /** Whom to ask for a key's counters; undefined if they are here. */
  heldBy(key: KeyHash): string | undefined {
    const holder = this.#previous?.ownerOf(key);
    if (holder === undefined || holder === this.#options.name) return undefined;
    return this.#options.owner.handover.hasTaken(key) ? undefined : holder;
  }

  /**
   * Was an owner given up in the change under way, with all it held? One that was given up before
   * and has come back holds counts again.
   */
  isLost(owner: string): boolean {
    return this.#givenUp.has(owner);
  }

  /** May some of what a key has spent under these policies be lost? */
  isUnsure(key: KeyHash, policies: readonly CounterPolicy[], nowMs: number): boolean {
    const longestMs = Math.max(...policies.map(spanMs));
    const doubtedMs = this.#options.owner.handover.doubtedMs(key);
    if (doubtedMs !== undefined && nowMs - doubtedMs < longestMs) return true;
    return this.#losses.some(
      ({ owner, ring, atMs }) => nowMs - atMs < longestMs && ring.ownerOf(key) === owner,
    );
  }

  /** Puts the ring on disk again after all else was deleted there. */
  keep(): void {
    const { storage, name } = this.#options;
    if (!this.#record?.owners.includes(name)) return;
    void storage.put({ [STORAGE_KEY]: this.#record }, { allowUnconfirmed: true });
  }

  /** Asks once for all who wait for it. */
  #ask(): Promise<void> {
    this.#asking ??= withDeadline(ASK_DEADLINE_MS, this.#options.askRing(), this.#options.runtime)
      .then((record) => this.adopt(record))
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }

  /** Reads a ring; says so and returns undefined if it can't be one. */
  #read(value: unknown): RingRecord | undefined {
    const { name } = this.#options;
    try {
      return readRingRecord(regionOf(name), value);
    } catch (error) {
      if (!(error instanceof MisuseError)) throw error;
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
      // Who hears of the change and of its end at once still counts by the ring before: no pause.
      const isKnown = record.version === this.#record?.version;
      const removing = owner.handover.letGo((key) => ring.ownerOf(key) === name);
      for (const _ of removing) if (isKnown) await runtime.wait(0);
    }
    this.#use(record);
    if (!isPart) return owner.saver.clear();
    // In one turn: a ring on disk with counters from before it would have these come back.
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
    // A key that has been elsewhere meanwhile may have been reset there.
    this.#options.owner.beginEpoch();
  }
}

/**
 * Returns the owners that were given up since the change under way began. A change begins with the
 * version after the previous ring's, and each owner that is given up makes one more.
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

/** The longest that anything counted under a policy matters. */
function spanMs({ windowMs, capacity, limit, blockFor }: CounterPolicy): number {
  const countMs = Math.max(2 * windowMs, Math.ceil((capacity / (limit || 1)) * windowMs));
  // A block, and the time in which it makes the next one longer.
  return Math.max(countMs, 3 * (blockFor?.maxMs ?? 0));
}
