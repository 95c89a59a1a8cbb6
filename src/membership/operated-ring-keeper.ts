/** Keeps a region's ring, and changes it when an operator says so. The deployed Worker's only. */
import { MAX_OWNERS } from "../protocol/ring-record.ts";
import type { Refusal, RingStatus } from "../protocol/rpc.ts";
import { RingKeeper } from "./ring-keeper.ts";

export class OperatedRingKeeper extends RingKeeper {
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
