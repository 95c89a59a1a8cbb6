/**
 * What an owner knows of its ring: which keys are its own, and which of them are still with their
 * previous owner.
 *
 * The membership object sends rings. The owner asks that object if it has no ring, or if a caller
 * or another owner knows a later one. A ring is on disk before an answer by it leaves: an owner
 * that forgot it would count keys that have moved.
 */

import { importedName } from "../../counters/table-name.ts";
import { InvalidError } from "../../limit/misuse.ts";
import { logSeldom } from "../../log.ts";
import { withDeadline } from "../../protocol/deadline.ts";
import {
  MAX_LOSS_AGE_MS,
  type RingRecord,
  readRingRecord,
  regionOfOwner,
  supersedes,
} from "../../protocol/ring-record.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { Ring } from "../../ring/ring.ts";
import type { Runtime } from "../../runtime.ts";
import type { Owner } from "../owner.ts";
import type { Exporter } from "./export.ts";

export interface RingViewOptions {
  /** The owner's name, such as `weur/3`. */
  name: string;
  owner: Owner;
  exporter: Exporter;
  storage: Pick<DurableObjectStorage, "get" | "put">;
  /** Asks the membership object of the owner's region. */
  askRing: () => Promise<RingRecord>;
  runtime: Runtime;
}

const STORAGE_KEY = "ring";
/** The version of the ring as long as none is known. No caller has it. */
const UNKNOWN_VERSION = -1;
/** How long the membership object may take to answer. */
const ASK_DEADLINE_MS = 2_000;

export class RingView {
  readonly #options: RingViewOptions;
  #record: RingRecord | undefined;
  #ring = new Ring([], UNKNOWN_VERSION);
  #previous: Ring | undefined;
  #givenUp = new Set<string>();
  /** The table of the keys imported in the change under way; undefined without a change. */
  #imported: string | undefined;
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

  /** The ring that keys are imported from; undefined while no change is under way. */
  get previous(): Ring | undefined {
    return this.#previous;
  }

  /** Returns true if the ring has that version and nothing is left to import. */
  isSettledAt(version: number): boolean {
    return version === this.#ring.version && !this.#previous;
  }

  async load(): Promise<void> {
    const stored = await this.#options.storage.get(STORAGE_KEY);
    const record = stored === undefined ? undefined : this.#read(stored);
    if (record) this.#apply(record);
    // Asks now: a caller may send checks to an owner that is not in the ring. If the membership
    // object does not answer, the first check asks again.
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
    // Asks twice at most: the first answer may be to an earlier question, from before that ring.
    for (let asked = 0; asked < 2 && isBehind(); asked++) await this.#ask();
    if (!isBehind()) return true;
    const { name: owner } = this.#options;
    const known = this.#ring.version;
    logSeldom("error", "ring-refused", owner, { owner, version, known });
    return false;
  }

  /** Adopts a ring that says something new. @throws {Error} if it can't be one of this region */
  async adopt(value: unknown): Promise<void> {
    const record = this.#read(value);
    if (!record) throw new Error("not a ring of this region");
    // One after the other: the rows that one adoption removes are gone before the next begins.
    const adopting = this.#adopting.then(() => this.#adopt(record));
    this.#adopting = adopting.catch(() => {});
    return adopting;
  }

  owns(key: KeyHash): boolean {
    return this.#ring.ownerOf(key) === this.#options.name;
  }

  /** Returns the owner that still has a key's counters; undefined if they are here. */
  previousHolderOf(key: KeyHash): string | undefined {
    const holder = this.#previous?.ownerOf(key);
    if (holder === undefined || holder === this.#options.name) return undefined;
    return this.wasImported(key) ? undefined : holder;
  }

  wasImported(key: KeyHash): boolean {
    const { tables } = this.#options.owner;
    return this.#imported === undefined || tables.get(this.#imported)?.get(key) !== undefined;
  }

  /** Notes that a key's counters are here, or that there were none. */
  markImported(key: KeyHash): void {
    const { owner } = this.#options;
    if (this.#imported) owner.putRow(this.#imported, key, [owner.now() + MAX_LOSS_AGE_MS]);
  }

  /**
   * Returns true if an owner was given up in the change under way, with all that it held. An owner
   * that was given up earlier and has come back holds counts again.
   */
  isGivenUp(owner: string): boolean {
    return this.#givenUp.has(owner);
  }

  /** Puts the ring back on disk after everything there was deleted. */
  rewriteRecord(): void {
    const { storage, name } = this.#options;
    if (!this.#record?.owners.includes(name)) return;
    void storage.put({ [STORAGE_KEY]: this.#record }, { allowUnconfirmed: true });
  }

  /** Asks the membership object, once for all that wait for the answer. */
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
    const { owner, exporter, storage, name, runtime } = this.#options;
    const isPart = [record, record.previous].some((ring) => ring?.owners.includes(name));
    if (!record.previous || !isPart) {
      const ring = new Ring(record.owners, record.version);
      // An owner that hears of a change only when it is over still counts by the old ring here. So
      // it must not pause: a check could come between.
      const isKnown = record.version === this.#record?.version;
      const dropping = exporter.dropForeignRows((key) => ring.ownerOf(key) === name);
      for (const _ of dropping) if (isKnown) await runtime.wait(0);
    }
    this.#apply(record);
    if (!isPart) return owner.clear();
    // In one turn: old counters beside a new ring on disk would come back after a restart.
    const saved = record.previous ? undefined : owner.save();
    await Promise.all([saved, storage.put({ [STORAGE_KEY]: record })]);
  }

  #apply(record: RingRecord): void {
    const { owner, exporter } = this.#options;
    const { version, owners, previous, lost } = record;
    this.#record = record;
    this.#ring = new Ring(owners, version);
    this.#previous = previous && new Ring(previous.owners, previous.version);
    this.#givenUp = givenUpIn(record);
    this.#imported = previous && importedName(previous.version);
    for (const [name, { kind }] of [...owner.tables]) {
      // Marks left from another change would claim keys that were never imported.
      if (kind === "imported" && name !== this.#imported) owner.dropTable(name);
    }
    exporter.restart();
    owner.setLosses(
      lost.map(({ owner: loser, owners: holders, atMs }) => {
        const ring = new Ring(holders);
        return { atMs, includes: (key) => ring.ownerOf(key) === loser };
      }),
    );
    // A key that was with another owner may have been reset there.
    owner.beginEpoch();
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
