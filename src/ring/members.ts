/**
 * Who is in a region's ring: makes one change at a time, and sees each through.
 *
 * A change goes in three steps, each of which may be repeated: every old and new owner hears of the
 * ring, so that from then on nobody counts what is no longer theirs; the new owners take over what
 * moved and put it on disk; every one hears that the ring has settled, and the old owners let go.
 * What is under way is on disk, so a crash at any point ends in the next alarm going on with it.
 *
 * Does not know who holds which key, and is never asked on the way of a check.
 */

import type { Elasticity } from "./elasticity.ts";
import { LOAD_FRESH_MS, ownersForLoad, ownersForQuiet, QUIET_MS } from "./elasticity.ts";
import { FailureReports } from "./failure-reports.ts";
import type { Region } from "./region.ts";
import { firstOwners, MAX_OWNERS, type RingRecord } from "./ring-record.ts";

/** What an owner says of itself. */
export interface OwnerLoad {
  /** Counters it holds, expired ones included. */
  keys: number;
  checksPerSecond: number;
}

/** How an owner is reached. Each call is over in time or rejects, and may be repeated. */
export interface OwnerLink {
  /** Tells it of a ring. */
  adopt(record: RingRecord): Promise<void>;
  /**
   * Has it take over all that is its own in this ring.
   *
   * @returns the owners that did not hand over; `isDone` once nothing is missing and all is on disk
   */
  takeOver(version: number): Promise<{ isDone: boolean; silent: string[] }>;
  load(): Promise<OwnerLoad>;
}

export type MembersStorage = Pick<DurableObjectStorage, "get" | "put" | "setAlarm" | "deleteAlarm">;

export interface MembersOptions extends Elasticity {
  region: Region;
  /** How many owners the region begins with. */
  startingOwners: number;
  /** Milliseconds since the epoch. */
  clock: () => number;
  storage: MembersStorage;
  link: (owner: string) => OwnerLink;
  /** Keeps going on with a task after the call that began it has been answered. */
  background: (task: Promise<void>) => void;
}

/** A region's ring as an operator sees it. */
export interface RingStatus {
  region: Region;
  version: number;
  /** Whether a change is under way. */
  settling: boolean;
  /** The owners that the change waits for. */
  waitingFor: string[];
  /** Owners out of the ring because they do not answer. */
  down: string[];
  /** `keys` and `checksPerSecond` are null where the owner does not answer. */
  owners: {
    name: string;
    keys: number | null;
    checksPerSecond: number | null;
    /** Since it joined. */
    sinceMs: number;
  }[];
}

/** Why a change is not made: in words, with what is going on and since when. */
export interface Refusal {
  refused: string;
}

interface Stored {
  record: RingRecord;
  /** Who has not heard yet that the last change is over; empty while there is none. */
  pending: string[];
  changedMs: number;
  /** When each owner joined, ms since the epoch. */
  joinedMs: Record<string, number>;
  /** Owners that were given up; those that are leaving come back only to hear of it. */
  down: { owner: string; sinceMs: number; isLeaving: boolean }[];
  /** When owners were last busy, or their number changed. */
  busyMs: number;
}

const STORAGE_KEY = "members";
/** From one try at an interrupted change to the next. */
export const RETRY_MS = 1_000;
/** After which a change goes on without an owner that does not answer. */
export const GIVE_UP_MS = 10_000;
/** From one look at an owner that is down to the next. */
export const PROBE_MS = 10_000;
/** How exactly it is remembered when owners were last busy. */
const BUSY_INTERVAL_MS = 60_000;
/** The most losses remembered. */
const MAX_LOST = 16;

export class Members {
  readonly #options: MembersOptions;
  readonly #reports = new FailureReports();
  readonly #loads = new Map<string, { checksPerSecond: number; atMs: number }>();
  /** Since when the change under way waits for an owner. */
  readonly #silentMs = new Map<string, number>();
  #stored: Stored | undefined;
  #advancing: Promise<void> | undefined;

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  /** Reads what is on disk. To be awaited before anything else is called. */
  async load(): Promise<void> {
    this.#stored = await this.#options.storage.get<Stored>(STORAGE_KEY);
  }

  /** The ring; the first to ask for it settles what the region begins with. */
  async ring(): Promise<RingRecord> {
    return (await this.#known()).record;
  }

  /** Whether anyone has asked for the ring yet. */
  get isUsed(): boolean {
    return this.#stored !== undefined;
  }

  async status(): Promise<RingStatus> {
    const { record, pending, joinedMs, down } = await this.#known();
    const nowMs = this.#options.clock();
    const owners = record.owners.map(async (name) => {
      const load = await this.#options
        .link(name)
        .load()
        .catch(() => undefined);
      const { keys = null, checksPerSecond = null } = load ?? {};
      return { name, keys, checksPerSecond, sinceMs: nowMs - (joinedMs[name] ?? nowMs) };
    });
    return {
      region: this.#options.region,
      version: record.version,
      settling: pending.length > 0,
      waitingFor: pending.length > 0 ? [...this.#silentMs.keys()] : [],
      down: down.map(({ owner }) => owner),
      owners: await Promise.all(owners),
    };
  }

  /** Adds an owner: the one named, or one with the lowest free number. */
  async add(name?: string): Promise<Refusal | undefined> {
    const { record, down } = await this.#known();
    const refusal = this.#busyWith();
    if (refusal) return refusal;
    if (name !== undefined && record.owners.includes(name)) {
      return { refused: `${name} is in the ring already, since ${this.#agoOf(name)}` };
    }
    if (record.owners.length >= MAX_OWNERS) {
      return { refused: `the ring has ${MAX_OWNERS} owners, the most there can be` };
    }
    const added = name ?? (this.#free(record.owners, 1)[0] as string);
    const stillDown = down.filter(({ owner }) => owner !== added);
    await this.#change([...record.owners, added], stillDown);
    return undefined;
  }

  async remove(name: string): Promise<Refusal | undefined> {
    const { record, down } = await this.#known();
    if (down.some(({ owner }) => owner === name)) {
      // It is out of the ring; now it stays so.
      const leaving = down.map((each) =>
        each.owner === name ? { ...each, isLeaving: true } : each,
      );
      await this.#store({ down: leaving });
      return undefined;
    }
    const refusal = this.#busyWith();
    if (refusal) return refusal;
    if (!record.owners.includes(name)) {
      return { refused: `${name} is not in the ring, which has ${record.owners.join(", ")}` };
    }
    if (record.owners.length === 1) return { refused: `${name} is the last owner` };
    await this.#change(record.owners.filter((owner) => owner !== name));
    return undefined;
  }

  /** Takes note of how busy an owner is, and adds owners if all of them are too busy. */
  async reportLoad(owner: string, checksPerSecond: number): Promise<void> {
    const { record, pending, busyMs } = await this.#known();
    const nowMs = this.#options.clock();
    if (!record.owners.includes(owner)) return;
    this.#loads.set(owner, { checksPerSecond, atMs: nowMs });
    const fresh = record.owners
      .map((name) => this.#loads.get(name))
      .filter((load) => load && nowMs - load.atMs <= LOAD_FRESH_MS)
      .map((load) => load?.checksPerSecond ?? 0);
    const { length } = record.owners;
    const wanted = ownersForLoad(length, fresh, this.#options);
    if (wanted > length && pending.length === 0) {
      return this.#change([...record.owners, ...this.#free(record.owners, wanted - length)]);
    }
    if (nowMs - busyMs > BUSY_INTERVAL_MS) await this.#store({ busyMs: nowMs });
  }

  /** Takes note that an isolate can't reach an owner; enough of them, and it leaves the ring. */
  async reportFailure(owner: string, reporter: string): Promise<void> {
    const { record, pending } = await this.#known();
    if (!record.owners.includes(owner) || pending.length > 0) return;
    if (!this.#reports.add(owner, reporter, this.#options.clock())) return;
    this.#reports.forget(owner);
    const answers = await this.#answers(owner);
    // Unless something changed while it was being asked.
    if (answers || this.#stored?.record !== record) return;
    await this.#giveUp(owner);
    this.#goOn();
  }

  /** To be called when the alarm goes off. */
  async wake(): Promise<void> {
    if (!this.#stored) return;
    await this.#advance();
    if (this.#stored.pending.length > 0) return this.#setAlarm();
    await this.#bringBack();
    await this.#shrinkIfQuiet();
    await this.#setAlarm();
  }

  async #known(): Promise<Stored> {
    if (!this.#stored) {
      const { region, startingOwners, clock } = this.#options;
      const owners = firstOwners(region, startingOwners);
      const nowMs = clock();
      this.#stored = {
        record: { version: 1, owners, lost: [] },
        pending: [],
        changedMs: nowMs,
        joinedMs: Object.fromEntries(owners.map((owner) => [owner, nowMs])),
        down: [],
        busyMs: nowMs,
      };
      await this.#store({});
    }
    return this.#stored;
  }

  async #store(changes: Partial<Stored>): Promise<void> {
    this.#stored = { ...(this.#stored as Stored), ...changes };
    // In one turn, and so on disk together: a change without an alarm might be left as it is.
    await Promise.all([this.#options.storage.put(STORAGE_KEY, this.#stored), this.#setAlarm()]);
  }

  #busyWith(): Refusal | undefined {
    const { pending, changedMs, record } = this.#stored as Stored;
    if (pending.length === 0) return undefined;
    const ago = `${this.#options.clock() - changedMs} ms ago`;
    const silent = [...this.#silentMs.keys()];
    const waits = silent.length > 0 ? `, waits for ${silent.join(", ")}` : "";
    return { refused: `a change to version ${record.version} began ${ago}${waits}` };
  }

  #agoOf(owner: string): string {
    const { joinedMs } = this.#stored as Stored;
    const nowMs = this.#options.clock();
    return `${nowMs - (joinedMs[owner] ?? nowMs)} ms ago`;
  }

  /** The lowest numbers that no owner has. */
  #free(owners: readonly string[], count: number): string[] {
    const names = firstOwners(this.#options.region, owners.length + count + this.#downCount);
    const down = this.#stored?.down.map(({ owner }) => owner) ?? [];
    return names.filter((name) => !owners.includes(name) && !down.includes(name)).slice(0, count);
  }

  get #downCount(): number {
    return this.#stored?.down.length ?? 0;
  }

  /** Begins a change; what follows is done in the background. */
  async #change(owners: string[], down = this.#stored?.down ?? []): Promise<void> {
    const { record, joinedMs } = this.#stored as Stored;
    const nowMs = this.#options.clock();
    const joined = owners.filter((owner) => !record.owners.includes(owner));
    const left = record.owners.filter((owner) => !owners.includes(owner));
    const next = {
      version: record.version + 1,
      owners,
      previous: { version: record.version, owners: record.owners },
      lost: record.lost.slice(-MAX_LOST),
    };
    const since = joined.map((owner) => [owner, nowMs]);
    this.#silentMs.clear();
    await this.#store({
      record: next,
      pending: [...new Set([...record.owners, ...owners])],
      down,
      changedMs: nowMs,
      busyMs: nowMs,
      joinedMs: { ...joinedMs, ...Object.fromEntries(since) },
    });
    for (const owner of joined) this.#log("owner-joined", owner);
    for (const owner of left) this.#log("owner-left", owner);
    this.#goOn();
  }

  #goOn(): void {
    this.#options.background(this.#advance());
  }

  /** Goes on with the change under way, as far as the owners answer. */
  #advance(): Promise<void> {
    this.#advancing ??= this.#eachStep().finally(() => {
      this.#advancing = undefined;
    });
    return this.#advancing;
  }

  async #eachStep(): Promise<void> {
    for (;;) {
      const { record, pending } = this.#stored as Stored;
      if (pending.length === 0) return;
      const silent = record.previous ? await this.#handOver(record) : await this.#settle(record);
      for (const owner of this.#silentMs.keys()) {
        if (!silent.includes(owner)) this.#silentMs.delete(owner);
      }
      if (silent.length === 0) continue;
      if (!(await this.#waitedEnough(silent))) return;
    }
  }

  /** Tells all of the ring and has the new owners take over. @returns who does not answer */
  async #handOver(record: RingRecord): Promise<string[]> {
    const { pending } = this.#stored as Stored;
    const deaf = await this.#tell(pending, record);
    if (deaf.length > 0) return deaf;
    const silent = new Set<string>();
    let isDone = true;
    const takeOver = async (owner: string) => {
      const result = await this.#options.link(owner).takeOver(record.version);
      for (const other of result.silent) silent.add(other);
      isDone &&= result.isDone;
    };
    const deafNow = await this.#each(record.owners, takeOver);
    for (const owner of deafNow) silent.add(owner);
    if (silent.size > 0) return [...silent];
    const { version, owners, lost } = record;
    if (isDone) await this.#store({ record: { version, owners, lost } });
    return [];
  }

  /** Tells all that the change is over. @returns who does not answer */
  async #settle(record: RingRecord): Promise<string[]> {
    const { pending } = this.#stored as Stored;
    const silent = await this.#tell(pending, record);
    await this.#store({ pending: silent });
    if (silent.length > 0) return silent;
    const { version, owners } = record;
    const tookMs = this.#options.clock() - (this.#stored as Stored).changedMs;
    const { region } = this.#options;
    console.log(
      JSON.stringify({ event: "ring-settled", region, version, owners: owners.length, tookMs }),
    );
    return [];
  }

  /** @returns who does not answer */
  #tell(owners: readonly string[], record: RingRecord): Promise<string[]> {
    return this.#each(owners, (owner) => this.#options.link(owner).adopt(record));
  }

  async #each(owners: readonly string[], act: (owner: string) => Promise<void>): Promise<string[]> {
    const tried = owners.map(async (owner) => {
      try {
        await act(owner);
        return [];
      } catch (error) {
        console.warn(JSON.stringify({ event: "owner-silent", owner, detail: String(error) }));
        return [owner];
      }
    });
    return (await Promise.all(tried)).flat();
  }

  /** Gives up on who has been silent for too long. @returns whether there is anything to go on with */
  async #waitedEnough(silent: readonly string[]): Promise<boolean> {
    const nowMs = this.#options.clock();
    for (const owner of silent) {
      if (!this.#silentMs.has(owner)) this.#silentMs.set(owner, nowMs);
    }
    const given = silent.filter((owner) => nowMs - (this.#silentMs.get(owner) ?? 0) >= GIVE_UP_MS);
    for (const owner of given) await this.#giveUp(owner);
    if (given.length === 0) await this.#setAlarm();
    return given.length > 0;
  }

  /** Goes on without an owner, whose counts are lost with it. The last one is never given up. */
  async #giveUp(owner: string): Promise<void> {
    const { record, pending, down } = this.#stored as Stored;
    const nowMs = this.#options.clock();
    const others = record.owners.filter((other) => other !== owner);
    const isLast = others.length === 0;
    const isMember = record.owners.includes(owner);
    const rings = [record.previous?.owners ?? [], record.owners].filter((ring) =>
      ring.includes(owner),
    );
    const lost = rings.map((owners) => ({ owner, owners, atMs: nowMs }));
    this.#silentMs.delete(owner);
    if (isLast) return;
    await this.#store({
      record: {
        ...record,
        version: record.version + 1,
        owners: others,
        lost: [...record.lost, ...lost].slice(-MAX_LOST),
      },
      pending: [...new Set([...pending, ...others])].filter((other) => other !== owner),
      changedMs: pending.length > 0 ? (this.#stored as Stored).changedMs : nowMs,
      down: [...down, { owner, sinceMs: nowMs, isLeaving: !isMember }],
    });
    this.#log("owner-down", owner);
  }

  /** Has an owner that answers again join anew, or learn that it has left. */
  async #bringBack(): Promise<void> {
    const { down, record } = this.#stored as Stored;
    for (const { owner, isLeaving } of down) {
      const silent = isLeaving ? await this.#tell([owner], record) : [];
      const answers = isLeaving ? silent.length === 0 : await this.#answers(owner);
      if (!answers || this.#stored?.record !== record) continue;
      this.#log("owner-up", owner);
      const stillDown = this.#stored.down.filter((other) => other.owner !== owner);
      if (!isLeaving) return this.#change([...record.owners, owner], stillDown);
      await this.#store({ down: stillDown });
    }
  }

  async #shrinkIfQuiet(): Promise<void> {
    const { record, pending, busyMs, joinedMs } = this.#stored as Stored;
    if (pending.length > 0 || this.#options.clock() - busyMs < QUIET_MS) return;
    const count = ownersForQuiet(record.owners.length, this.#options);
    if (count === record.owners.length) return;
    const byAge = record.owners.toSorted((a, b) => (joinedMs[a] ?? 0) - (joinedMs[b] ?? 0));
    await this.#change(byAge.slice(0, count));
  }

  async #answers(owner: string): Promise<boolean> {
    return this.#options
      .link(owner)
      .load()
      .then(
        () => true,
        () => false,
      );
  }

  /** Sets the alarm for whatever is to be looked at next. */
  async #setAlarm(): Promise<void> {
    const { pending, down, busyMs, record } = this.#stored as Stored;
    const nowMs = this.#options.clock();
    const times: number[] = [];
    if (pending.length > 0) times.push(nowMs + RETRY_MS);
    if (down.length > 0) times.push(nowMs + PROBE_MS);
    const { length } = record.owners;
    if (ownersForQuiet(length, this.#options) < length) times.push(busyMs + QUIET_MS);
    if (times.length > 0) await this.#options.storage.setAlarm(Math.min(...times));
    else await this.#options.storage.deleteAlarm();
  }

  #log(event: string, owner: string): void {
    const { version } = (this.#stored as Stored).record;
    console.log(JSON.stringify({ event, owner, version }));
  }
}
