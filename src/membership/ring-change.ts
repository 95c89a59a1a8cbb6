/**
 * One change of a region's ring, from its order to its end, in the three steps of `OwnerRpc`: send
 * all owners the new ring, have those of the new ring import, send all the settled ring.
 *
 * The change under way is on disk, so after a crash the next alarm resumes it.
 */

import { type LogEvent, log, logSeldom } from "../log.ts";
import {
  contradicts,
  MAX_LOSS_AGE_MS,
  type RingRecord,
  readRingRecord,
  regionOfOwner,
} from "../protocol/ring-record.ts";
import type { Runtime } from "../runtime.ts";
import type { OwnerLink } from "./owner-link.ts";
import type { RingState } from "./ring-state.ts";

export interface RingChangeOptions {
  runtime: Runtime;
  /** The calls to an owner, with their deadlines. */
  link: (owner: string) => OwnerLink;
}

/** How long an owner may be silent before a change goes on without it. */
export const GIVE_UP_MS = 10_000;
/** The most losses remembered. */
const MAX_LOSSES = 16;

export class RingChange {
  readonly #options: RingChangeOptions;
  readonly #state: RingState;
  /** Since when the change has waited for each silent owner, ms since the epoch. */
  readonly #silentMs = new Map<string, number>();
  #advancing: Promise<void> | undefined;
  /** The latest ring that an owner knows and this object has not made. */
  #found: RingRecord | undefined;

  constructor(options: RingChangeOptions, state: RingState) {
    this.#options = options;
    this.#state = state;
  }

  /** The owners that the change under way waits for. */
  get waitingFor(): string[] {
    return [...this.#silentMs.keys()];
  }

  /**
   * Begins a change, and carries it out in the background.
   *
   * @param down owners that were given up and stay out
   */
  async begin(owners: string[], down = this.#state.current.down): Promise<void> {
    const { record, joinedMs } = this.#state.current;
    const nowMs = this.#options.runtime.now();
    const joined = owners.filter((owner) => !record.owners.includes(owner));
    const left = record.owners.filter((owner) => !owners.includes(owner));
    const since = joined.map((owner) => [owner, nowMs]);
    this.#silentMs.clear();
    await this.#state.store({
      record: {
        version: record.version + 1,
        owners,
        previous: { version: record.version, owners: record.owners },
        lost: stillMattering(record.lost, nowMs),
      },
      pending: [...new Set([...record.owners, ...owners])],
      down,
      changedMs: nowMs,
      busyMs: nowMs,
      joinedMs: { ...joinedMs, ...Object.fromEntries(since) },
    });
    for (const owner of joined) this.log("owner-joined", owner);
    for (const owner of left) this.log("owner-left", owner);
    this.#options.runtime.keepAlive(this.advance());
  }

  /** Goes on with the change under way until an owner does not answer, or it has settled. */
  advance(): Promise<void> {
    this.#advancing ??= this.#eachStep().finally(() => {
      this.#advancing = undefined;
    });
    return this.#advancing;
  }

  /** Removes an owner, whose counts get lost. The last owner is never given up. */
  async giveUp(owner: string): Promise<void> {
    const { record, pending, down, changedMs } = this.#state.current;
    const nowMs = this.#options.runtime.now();
    const owners = record.owners.filter((other) => other !== owner);
    this.#silentMs.delete(owner);
    if (owners.length === 0) return;
    const rings = [record.previous?.owners ?? [], record.owners];
    const lost = rings
      .filter((ring) => ring.includes(owner))
      .map((ring) => ({ owner, owners: ring, atMs: nowMs }));
    await this.#state.store({
      record: {
        ...record,
        version: record.version + 1,
        owners,
        lost: stillMattering([...record.lost, ...lost], nowMs),
      },
      pending: [...new Set([...pending, ...owners])].filter((other) => other !== owner),
      changedMs: pending.length > 0 ? changedMs : nowMs,
      down: [...down, { owner, isLeaving: !record.owners.includes(owner) }],
    });
    this.log("owner-down", owner);
    this.#options.runtime.keepAlive(this.advance());
  }

  /** Sends owners a ring. @returns those that do not answer */
  tell(owners: readonly string[], record: RingRecord): Promise<string[]> {
    return this.#each(owners, async (owner) => {
      const known = await this.#options.link(owner).adopt(record);
      if (known && contradicts(known, this.#found ?? this.#state.current.record)) {
        this.#found = readRingRecord(regionOfOwner(owner), known);
      }
    });
  }

  /** Sends owners the ring, and goes on from theirs if they know another. */
  async confirm(owners: readonly string[]): Promise<void> {
    await this.tell(owners, this.#state.current.record);
    if (this.#found) await this.advance();
  }

  log(event: LogEvent, owner: string): void {
    const { version } = this.#state.current.record;
    log("log", event, { owner, version });
  }

  async #eachStep(): Promise<void> {
    for (;;) {
      if (this.#found) await this.#goOnFrom(this.#found);
      const { record, pending } = this.#state.current;
      if (pending.length === 0) return;
      const silent = record.previous ? await this.#moveKeys(record) : await this.#settle(record);
      if (this.#found) continue;
      for (const owner of this.waitingFor) {
        if (!silent.includes(owner)) this.#silentMs.delete(owner);
      }
      if (silent.length > 0 && !(await this.#giveUpOnSilent(silent))) return;
    }
  }

  /**
   * Goes on from a ring that owners know: this object's storage was lost or restored, and the
   * owners have the counts.
   */
  async #goOnFrom({ version, owners, previous = { version, owners }, lost }: RingRecord) {
    const { record, pending } = this.#state.current;
    const nowMs = this.#options.runtime.now();
    this.#found = undefined;
    await this.#state.store({
      record: {
        version: Math.max(version, record.version) + 1,
        owners,
        previous,
        lost: stillMattering([...lost, ...record.lost], nowMs),
      },
      pending: [...new Set([...pending, ...record.owners, ...owners, ...previous.owners])],
      changedMs: nowMs,
    });
    log("warn", "ring-restored", { version, owners });
  }

  /** Sends all owners the ring, and has the new ones import. @returns those that do not answer */
  async #moveKeys(record: RingRecord): Promise<string[]> {
    const silent = new Set(await this.tell(this.#state.current.pending, record));
    if (silent.size > 0 || this.#found) return [...silent];
    let isDone = true;
    const importAll = async (owner: string) => {
      const progress = await this.#options.link(owner).takeOver(record.version);
      for (const other of progress.silent) silent.add(other);
      isDone &&= progress.isDone;
    };
    for (const owner of await this.#each(record.owners, importAll)) silent.add(owner);
    const { version, owners, lost } = record;
    if (isDone && silent.size === 0) await this.#state.store({ record: { version, owners, lost } });
    return [...silent];
  }

  /** Sends all owners the settled ring. @returns those that do not answer */
  async #settle({ version, owners, lost }: RingRecord): Promise<string[]> {
    const silent = await this.tell(this.#state.current.pending, { version, owners, lost });
    await this.#state.store({ pending: silent });
    if (silent.length > 0) return silent;
    const tookMs = this.#options.runtime.now() - this.#state.current.changedMs;
    log("log", "ring-settled", { version, owners, tookMs });
    return [];
  }

  async #each(owners: readonly string[], act: (owner: string) => Promise<void>): Promise<string[]> {
    const tried = owners.map(async (owner) => {
      try {
        await act(owner);
        return [];
      } catch (error) {
        logSeldom("warn", "owner-silent", owner, { owner, detail: String(error) });
        return [owner];
      }
    });
    return (await Promise.all(tried)).flat();
  }

  /** Gives up the owners that have been silent for too long. @returns whether there were any */
  async #giveUpOnSilent(silent: readonly string[]): Promise<boolean> {
    const nowMs = this.#options.runtime.now();
    for (const owner of silent) {
      if (!this.#silentMs.has(owner)) this.#silentMs.set(owner, nowMs);
    }
    const late = silent.filter((owner) => nowMs - (this.#silentMs.get(owner) ?? 0) >= GIVE_UP_MS);
    for (const owner of late) await this.giveUp(owner);
    if (late.length === 0) await this.#state.setAlarm();
    return late.length > 0;
  }
}

/**
 * Returns the losses that can still matter. A later loss of the same keys replaces an earlier one.
 */
function stillMattering(losses: RingRecord["lost"], nowMs: number): RingRecord["lost"] {
  const keysOf = ({ owner, owners }: (typeof losses)[number]) =>
    [owner, ...owners.toSorted()].join();
  const latest = new Map(losses.map((loss) => [keysOf(loss), loss]));
  return losses
    .filter((loss) => loss === latest.get(keysOf(loss)))
    .filter(({ atMs }) => nowMs - atMs < MAX_LOSS_AGE_MS)
    .slice(-MAX_LOSSES);
}
