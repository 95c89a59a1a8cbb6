/**
 * Keeps a region's ring and the live policies, and changes both when an operator says so. Only the
 * deployed Worker has it.
 */
import { MAX_OWNERS, type RingRecord } from "../protocol/ring-record.ts";
import type { Refusal, RingStatus } from "../protocol/rpc.ts";
import { LivePolicies, type LivePoliciesOptions } from "./live-policies.ts";
import { RingKeeper, type RingKeeperOptions } from "./ring-keeper.ts";

export interface OperatedRingKeeperOptions
  extends RingKeeperOptions,
    Pick<LivePoliciesOptions, "homeRegion" | "membershipStub"> {
  storage: RingKeeperOptions["storage"] & LivePoliciesOptions["storage"];
}

export class OperatedRingKeeper extends RingKeeper {
  readonly policies: LivePolicies;
  #waking: Promise<void> | undefined;

  constructor(options: OperatedRingKeeperOptions) {
    const { storage, ownerStub, runtime } = options;
    // The object's one alarm is set for what is due first, of the ring or of the policies.
    const retryAtMs = () => runtime.now() + (policies.retryMs ?? Number.POSITIVE_INFINITY);
    super({
      ...options,
      storage: {
        get: storage.get.bind(storage),
        put: storage.put.bind(storage),
        setAlarm: (atMs) => storage.setAlarm(Math.min(Number(atMs), retryAtMs())),
        deleteAlarm: () =>
          policies.retryMs === undefined ? storage.deleteAlarm() : storage.setAlarm(retryAtMs()),
      },
      ownerStub: (owner) => {
        const stub = ownerStub(owner);
        return {
          adopt: (record) => stub.adopt(policies.withVersion(record)),
          takeOver: (version) => stub.takeOver(version),
          status: () => stub.status(),
        };
      },
    });
    const policies = new LivePolicies({
      ...options,
      owners: () => (this.isUsed ? this.state.current.record.owners : []),
      tellOwner: (owner) => this.options.ownerStub(owner).adopt(this.state.current.record),
      setAlarm: async () => {
        if (this.isUsed) await this.state.setAlarm();
        else if (policies.retryMs !== undefined) await storage.setAlarm(retryAtMs());
      },
    });
    this.policies = policies;
  }

  override async load(): Promise<void> {
    await Promise.all([super.load(), this.policies.load()]);
  }

  override async ring(): Promise<RingRecord> {
    const record = await super.ring();
    // An owner does not wait for another region.
    this.options.runtime.keepAlive(this.policies.ensureAsked().catch(() => {}));
    return this.policies.withVersion(record);
  }

  override async wake(): Promise<void> {
    // A ring change may take many seconds, and no alarm goes off while this one runs: the policies
    // would wait. So the next alarm is set first, and the ring change goes on in the background.
    await this.policies.wake();
    this.#waking ??= super.wake().finally(() => {
      this.#waking = undefined;
    });
    this.options.runtime.keepAlive(this.#waking);
  }

  async status(): Promise<RingStatus> {
    const { record, pending, down } = await this.state.begin();
    const owners = record.owners.map(async (name) => {
      const { keys = null, checksPerSecond = null } = (await this.statusOf(name)) ?? {};
      return { name, keys, checksPerSecond, sinceMs: this.#sinceMs(name) };
    });
    return {
      region: this.options.region,
      version: record.version,
      settling: pending.length > 0,
      waitingFor: this.change.waitingFor,
      down: down.map(({ owner }) => owner),
      owners: await Promise.all(owners),
    };
  }

  /** Adds an owner: the one named, or the one with the lowest free number. */
  async add(name?: string): Promise<Refusal | undefined> {
    const { record, down } = await this.state.begin();
    const refusal = this.#busyWith();
    if (refusal) return refusal;
    if (name !== undefined && record.owners.includes(name)) {
      return { refused: `${name} is in the ring already, since ${this.#sinceMs(name)} ms` };
    }
    if (record.owners.length >= MAX_OWNERS) {
      return { refused: `the ring has ${MAX_OWNERS} owners, the most there can be` };
    }
    const added = name ?? (this.free(1)[0] as string);
    const stillDown = down.filter(({ owner }) => owner !== added);
    await this.change.begin([...record.owners, added], stillDown);
    return undefined;
  }

  async remove(name: string): Promise<Refusal | undefined> {
    const { record, down } = await this.state.begin();
    if (down.some(({ owner }) => owner === name)) {
      // It is out of the ring already. Now it stays out.
      const leaving = down.map((each) => {
        return each.owner === name ? { ...each, isLeaving: true } : each;
      });
      await this.state.store({ down: leaving });
      return undefined;
    }
    const refusal = this.#busyWith();
    if (refusal) return refusal;
    if (!record.owners.includes(name)) {
      return { refused: `${name} is not in the ring, which has ${record.owners.join(", ")}` };
    }
    if (record.owners.length === 1) return { refused: `${name} is the last owner` };
    await this.change.begin(record.owners.filter((owner) => owner !== name));
    return undefined;
  }

  #busyWith(): Refusal | undefined {
    const { pending, changedMs, record } = this.state.current;
    if (pending.length === 0) return undefined;
    const ago = `${this.options.runtime.now() - changedMs} ms ago`;
    const { waitingFor } = this.change;
    const waits = waitingFor.length > 0 ? `, waits for ${waitingFor.join(", ")}` : "";
    return { refused: `a change to version ${record.version} began ${ago}${waits}` };
  }

  #sinceMs(owner: string): number {
    const nowMs = this.options.runtime.now();
    return nowMs - (this.state.current.joinedMs[owner] ?? nowMs);
  }
}
