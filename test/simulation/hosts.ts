/**
 * The objects around the protocol, as `src/objects/rate-limiter.ts` and `src/objects/membership.ts` make
 * them of what the runtime gives. Their few lines are repeated here, since those import the runtime.
 */

import type { Check, Refund } from "../../src/counters/check.ts";
import { Coordinator } from "../../src/membership/coordinator.ts";
import type { OwnerLink } from "../../src/membership/ring-change.ts";
import { RingOwner } from "../../src/owner/change/ring-owner.ts";
import type { Peer } from "../../src/owner/change/takeover.ts";
import { Owner } from "../../src/owner/owner.ts";
import { withDeadline } from "../../src/protocol/deadline.ts";
import type { OwnerRpc, Stub } from "../../src/protocol/rpc.ts";
import { decodeBatch, encodeAnswer } from "../../src/protocol/wire.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";
import type { Ledger } from "./ledger.ts";
import type { Machine } from "./machine.ts";
import type { Host } from "./network.ts";
import type { World } from "./world.ts";

export const REGION = "weur";
export const DEADLINE_MS = 250;
const ADOPT_DEADLINE_MS = 5_000;
const TAKE_OVER_DEADLINE_MS = 15_000;
const STATUS_DEADLINE_MS = 1_000;

export type OwnerMethods = Stub<OwnerRpc> & { wake(): Promise<void> };

/** An owner whose counting is entered in a ledger in the very moment. */
class WatchedOwner extends Owner {
  /** Set by who makes it: before it counts anything. */
  entered: { ledger: Ledger; machine: Machine } | undefined;

  override check(batch: readonly Check[]) {
    const answer = super.check([]);
    answer.verdicts = batch.map((check, at) => {
      this.entered?.ledger.tail(this.entered.machine).counting();
      const { verdicts, ended } = super.check([check]);
      const [each = []] = verdicts;
      if (ended) {
        answer.ended ??= [];
        answer.ended[at] = true;
      }
      this.entered?.ledger.counted(this.entered.machine, check, each);
      return each;
    });
    return answer;
  }

  override refund(batch: readonly Refund[]) {
    for (const each of batch) {
      // An operator's refund is no request's own, and is entered where it is asked for.
      if (each.spentAtMs !== undefined) this.entered?.ledger.returned(each);
    }
    return super.refund(batch);
  }

  override block(key: KeyHash, durationMs: number) {
    super.block(key, durationMs);
    this.entered?.ledger.blocked(this.entered.machine, key);
  }
}

export function startOwner(world: World, machine: Machine): Host<OwnerMethods> {
  const { name, storage } = machine;
  const { ledger, variant } = world;
  const owner = new WatchedOwner({
    runtime: machine,
    storage,
    // All in one turn, or as many turns as there are parts.
    shortChanges: world.schedule.pick([0, Number.POSITIVE_INFINITY]),
    onCleared: () => member.cleared(),
  });
  owner.entered = { ledger, machine };
  const { handover } = owner;
  const doubt = handover.doubt.bind(handover);
  handover.doubt = (key, nowMs) => {
    ledger.doubted(key);
    doubt(key, nowMs);
  };
  storage.watcher = ledger.tail(machine);
  const askOwner = world.line(machine, (to) => world.owner(to));
  const membership = world.line(machine, () => world.membership());
  const peer = (to: string): Peer => ({
    release: (version, keys) => askOwner(to, (other) => other.release(version, keys)),
    releaseSome: (version, whose, from) =>
      askOwner(to, (other) => other.releaseSome(version, whose, from)),
  });
  const member = new RingOwner({
    name,
    owner,
    storage,
    peer: (to) => variant.peer?.(peer(to)) ?? peer(to),
    membership: {
      ring: () => membership(REGION, (members) => members.ring()),
      reportLoad: async () => {},
    },
    releaseDeadlineMs: DEADLINE_MS / 2,
    highWater: 0,
    runtime: machine,
  });
  const methods: OwnerMethods = {
    async check(wire) {
      const batch = decodeBatch(wire);
      const answer = await member.check(batch);
      ledger.answered(machine, batch, answer);
      return encodeAnswer(answer);
    },
    peek: async (wire) => encodeAnswer(await member.peek(decodeBatch(wire))),
    refund: async (wire) => encodeAnswer(await member.refund(decodeBatch(wire))),
    reset: async (wire) => encodeAnswer(await member.reset(decodeBatch(wire))),
    block: (version, key, durationMs) => member.block(version, key, durationMs),
    unblock: (version, key) => member.unblock(version, key),
    explain: (batch) => member.explain(decodeBatch(batch)),
    release: (version, keys) => member.release(version, keys),
    releaseSome: (version, to, from) => member.releaseSome(version, to, from),
    adopt: (record) => {
      ledger.told(record);
      return member.adopt(record);
    },
    takeOver: (version) => member.takeOver(version),
    status: async () => member.status(),
    wake: () => member.wake(),
  };
  return { machine, ready: member.load(), methods: variant.owner?.(methods) ?? methods };
}

export function startMembership(world: World, machine: Machine): Host<Coordinator> {
  const { storage } = machine;
  const askOwner = world.line(machine, (to) => world.owner(to));
  const link = (to: string): OwnerLink => ({
    adopt: (record) =>
      withDeadline(
        ADOPT_DEADLINE_MS,
        askOwner(to, (owner) => owner.adopt(record)),
        machine,
      ),
    takeOver: (version) =>
      withDeadline(
        TAKE_OVER_DEADLINE_MS,
        askOwner(to, (owner) => owner.takeOver(version)),
        machine,
      ),
    status: () =>
      withDeadline(
        STATUS_DEADLINE_MS,
        askOwner(to, (owner) => owner.status()),
        machine,
      ),
  });
  const members = new Coordinator({
    region: REGION,
    startingOwners: world.startingOwners,
    highWater: 0,
    minOwners: 1,
    maxOwners: 8,
    runtime: machine,
    storage,
    link,
  });
  return { machine, ready: members.load(), methods: members };
}
