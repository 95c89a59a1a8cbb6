/**
 * Keeps a region's ring without an operator, one change at a time. Adds owners if the ring is too
 * busy, and removes some if it is idle. Removes an owner that does not answer, and adds it again
 * once it does.
 *
 * Does not know which owner holds which key.
 */

import { ownerNames, type RingRecord } from "../protocol/ring-record.ts";
import { LOAD_FRESH_MS, ownersForLoad, ownersForQuiet, QUIET_MS } from "./autoscaling.ts";
import { FailureReports } from "./failure-reports.ts";
import { type OwnerLink, withDeadlines } from "./owner-link.ts";
import { RingChange } from "./ring-change.ts";
import { RingState, type RingStateOptions } from "./ring-state.ts";

export interface RingKeeperOptions extends RingStateOptions {
  /** Returns a new stub for an owner. */
  ownerStub: (owner: string) => OwnerLink;
}

/**
 * How full the owners that stay may be on average after a quiet time. Until a change has settled,
 * imported rows take two thirds more, as marks.
 */
const MAX_FILL = 0.5;
/** The least time between two writes of `busyMs`. */
const BUSY_INTERVAL_MS = 60_000;

export class RingKeeper {
  protected readonly options: RingKeeperOptions;
  protected readonly state: RingState;
  protected readonly change: RingChange;
  readonly #reports = new FailureReports();
  /** What each owner reported last. */
  readonly #loads = new Map<string, { checksPerSecond: number; atMs: number }>();

  constructor(options: RingKeeperOptions) {
    this.options = options;
    this.state = new RingState(options);
    const { runtime } = options;
    this.change = new RingChange({ runtime, link: (owner) => this.#link(owner) }, this.state);
  }

  /** Reads what is on disk. Await this before calling anything else. */
  load(): Promise<void> {
    return this.state.load();
  }

  /** Whether anyone has asked for the ring yet. */
  get isUsed(): boolean {
    return this.state.isUsed;
  }

  /** Returns the ring. The first call makes it. */
  async ring(): Promise<RingRecord> {
    return (await this.state.begin()).record;
  }

  /** Notes how busy an owner is, and adds owners if all of them together are too busy. */
  async reportLoad(owner: string, checksPerSecond: number): Promise<void> {
    const { record, pending, busyMs } = await this.state.begin();
    const { owners } = record;
    const nowMs = this.options.runtime.now();
    if (!owners.includes(owner)) return this.#confirm(owner, [...owners, owner]);
    this.#loads.set(owner, { checksPerSecond, atMs: nowMs });
    const fresh = owners.flatMap((name) => {
      const load = this.#loads.get(name);
      return load && nowMs - load.atMs <= LOAD_FRESH_MS ? [load.checksPerSecond] : [];
    });
    const added = ownersForLoad(owners.length, fresh, this.options) - owners.length;
    if (added > 0 && pending.length === 0) {
      await this.change.begin([...owners, ...this.free(added)]);
    } else if (nowMs - busyMs > BUSY_INTERVAL_MS) {
      await this.state.store({ busyMs: nowMs });
    }
  }

  /**
   * Notes that an isolate can't reach an owner. After enough such reports the owner leaves the
   * ring, unless it answers this object.
   */
  async reportFailure(owner: string, reporter: string): Promise<void> {
    const { record, pending } = await this.state.begin();
    if (pending.length > 0) return;
    if (!record.owners.includes(owner)) return this.#confirm(owner, record.owners);
    if (!this.#reports.add(owner, reporter, this.options.runtime.now())) return;
    this.#reports.forget(owner);
    const status = await this.statusOf(owner);
    // If the ring changed while the owner was asked, the reports were about another ring.
    if (!status && this.state.current.record === record) await this.change.giveUp(owner);
  }

  async wake(): Promise<void> {
    if (!this.state.isUsed) return;
    await this.change.advance();
    if (this.state.current.pending.length === 0) {
      await this.#bringBack();
      await this.#shrinkIfQuiet();
    }
    await this.state.setAlarm();
  }

  /** Returns the names with the lowest free numbers. */
  protected free(count: number): string[] {
    const { record, down } = this.state.current;
    const taken = new Set([...record.owners, ...down.map(({ owner }) => owner)]);
    const names = ownerNames(this.options.region, taken.size + count);
    return names.filter((name) => !taken.has(name)).slice(0, count);
  }

  /** Returns an owner's status; undefined if it does not answer. */
  protected statusOf(owner: string) {
    return this.#link(owner)
      .status()
      .catch(() => undefined);
  }

  #link(owner: string): OwnerLink {
    const { ownerStub, runtime } = this.options;
    return withDeadlines(ownerStub(owner), runtime);
  }

  /** Asks owners whether they know another ring, since somebody takes an outsider for an owner. */
  async #confirm(outsider: string, owners: readonly string[]): Promise<void> {
    const { pending, down } = this.state.current;
    const isDown = down.some(({ owner }) => owner === outsider);
    if (pending.length === 0 && !isDown) await this.change.confirm(owners);
  }

  /** Lets an owner that answers again rejoin the ring, or tells it that it has left. */
  async #bringBack(): Promise<void> {
    const { down, record } = this.state.current;
    for (const { owner, isLeaving } of down) {
      const answers = isLeaving
        ? (await this.change.tell([owner], record)).length === 0
        : (await this.statusOf(owner)) !== undefined;
      if (!answers || this.state.current.record !== record) continue;
      this.change.log("owner-up", owner);
      const stillDown = this.state.current.down.filter((other) => other.owner !== owner);
      if (!isLeaving) return this.change.begin([...record.owners, owner], stillDown);
      await this.state.store({ down: stillDown });
    }
  }

  async #shrinkIfQuiet(): Promise<void> {
    const { record, pending, busyMs, joinedMs } = this.state.current;
    if (pending.length > 0 || this.options.runtime.now() - busyMs < QUIET_MS) return;
    const count = ownersForQuiet(record.owners.length, this.options);
    if (count === record.owners.length) return;
    const statuses = await Promise.all(record.owners.map((owner) => this.statusOf(owner)));
    if (this.state.current.record !== record) return;
    const fill = statuses.reduce((sum, status) => sum + (status?.fill ?? 0), 0);
    if (fill > count * MAX_FILL) {
      // Tries again after another quiet time. By then, counts may have expired.
      return this.state.store({ busyMs: this.options.runtime.now() });
    }
    const byAge = record.owners.toSorted((a, b) => (joinedMs[a] ?? 0) - (joinedMs[b] ?? 0));
    await this.change.begin(byAge.slice(0, count));
  }
}
