/** What runs on a machine: an owner or a membership object, as `src/objects` makes them. */

import { checkOnce } from "../../src/counters/answers.ts";
import type { Check, Refund } from "../../src/counters/check.ts";
import { OperatedRingKeeper } from "../../src/membership/operated-ring-keeper.ts";
import { OperatedRingOwner } from "../../src/owner/change/operated-ring-owner.ts";
import { RingOwner } from "../../src/owner/change/ring-owner.ts";
import { Owner, type OwnerOptions } from "../../src/owner/owner.ts";
import type { OwnerRpc, Stub } from "../../src/protocol/rpc.ts";
import { decodeBatch } from "../../src/protocol/wire.ts";
import { type Answer, decodeAnswer } from "../../src/protocol/wire-answer.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";
import type { Ledger } from "./ledger.ts";
import type { Machine } from "./machine.ts";
import type { Host } from "./network.ts";
import type { World } from "./world.ts";

export const REGION = "weur";
export const DEADLINE_MS = 250;

export type OwnerMethods = Stub<OwnerRpc> & { wake(): Promise<void> };

const METHODS = Object.entries(Object.getOwnPropertyDescriptors(RingOwner.prototype)).flatMap(
  ([name, { value }]) => (typeof value === "function" ? [name as keyof OwnerMethods] : []),
);

/**
 * An owner that enters what it counts in a ledger, batch by batch, in the turn in which it counts.
 */
class WatchedOwner extends Owner {
  readonly #ledger: Ledger;
  readonly #machine: Machine;

  constructor(options: OwnerOptions, ledger: Ledger, machine: Machine) {
    super(options);
    this.#ledger = ledger;
    this.#machine = machine;
  }

  override addInexact(key: KeyHash) {
    this.#ledger.doubted(key);
    super.addInexact(key);
  }

  override check(batch: readonly Check[]) {
    this.#ledger.tail(this.#machine).counting();
    const answer = super.check(batch);
    for (const [at, check] of batch.entries()) {
      this.#ledger.counted(this.#machine, check, answer.verdicts[at] ?? []);
    }
    return answer;
  }

  override refund(batch: readonly Refund[]) {
    for (const each of batch) {
      // An operator's refund is of no request, and is entered where the operator asks for it.
      if (each.settle) this.#ledger.settled(each, each.settle.actual);
      else if (each.spentAtMs !== undefined) this.#ledger.returned(this.#machine, each);
    }
    return super.refund(batch);
  }

  override block(key: KeyHash, durationMs: number) {
    super.block(key, durationMs);
    this.#ledger.blocked(this.#machine, key);
  }
}

export function startOwner(world: World, machine: Machine): Host<OwnerMethods> {
  const { name, storage } = machine;
  const { ledger, variant } = world;
  storage.watcher = ledger.tail(machine);
  variant.storage?.(storage);
  const owner = new OperatedRingOwner({
    name,
    runtime: machine,
    storage,
    ownerStub: (to) => {
      const peer = world.ownerStub(machine, to);
      return variant.peer?.(peer) ?? peer;
    },
    membershipStub: () => ({
      ring: () => world.askMembership(machine, (members) => members.ring()),
      reportLoad: async () => {},
    }),
    deadlineMs: DEADLINE_MS,
    highWater: 0,
    checkOnce,
    newOwner: (options) => new WatchedOwner(options, ledger, machine),
  });
  const methods: OwnerMethods = {
    ...eachMethod((name) => owner[name].bind(owner)),
    check: async (wire) => {
      const answer = await owner.check(wire);
      const batch = decodeBatch(wire);
      ledger.answered(machine, batch, decodeAnswer(answer, batch.checks) as Answer);
      return answer;
    },
    adopt: (record) => {
      ledger.told(record);
      return owner.adopt(record);
    },
  };
  return { machine, ready: owner.load(), methods: variant.owner?.(methods) ?? methods };
}

export function startMembership(world: World, machine: Machine): Host<OperatedRingKeeper> {
  const members = new OperatedRingKeeper({
    region: REGION,
    ownersPerRegion: world.ownersPerRegion,
    highWater: 0,
    minOwners: 1,
    maxOwners: 8,
    runtime: machine,
    storage: machine.storage,
    ownerStub: (to) => world.ownerStub(machine, to),
    homeRegion: REGION,
    // No other region is in use.
    membershipStub: () => ({ policies: async () => null, adoptPolicies: async () => {} }),
  });
  return { machine, ready: members.load(), methods: members };
}

/** Returns an object with an owner's methods, each made from its name. */
export function eachMethod(make: (name: keyof OwnerMethods) => unknown): OwnerMethods {
  return Object.fromEntries(METHODS.map((name) => [name, make(name)])) as OwnerMethods;
}
