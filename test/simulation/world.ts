/** Everything in a run: objects and isolates on machines, the network between them, and chance. */

import { Caller } from "../../src/caller/caller.ts";
import { PoliciesFollower } from "../../src/caller/policies-follower.ts";
import type { OperatedRingKeeper } from "../../src/membership/operated-ring-keeper.ts";
import type { Peer } from "../../src/owner/change/import.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import type { CounterNamespace, CounterStub, OwnerRpc, Stub } from "../../src/protocol/rpc.ts";
import type { Runtime } from "../../src/runtime.ts";
import { STILL } from "../fake-runtime.ts";
import type { DiskView } from "./disk.ts";
import { elsewhere } from "./elsewhere.ts";
import {
  DEADLINE_MS,
  eachMethod,
  type OwnerMethods,
  REGION,
  startMembership,
  startOwner,
} from "./hosts.ts";
import { Ledger } from "./ledger.ts";
import { Life } from "./life.ts";
import { Machine } from "./machine.ts";
import { type Host, Network, type Sender } from "./network.ts";
import { Objects } from "./objects.ts";
import { Schedule } from "./schedule.ts";
import { LIVE, SECRET } from "./subjects.ts";
import { told } from "./told.ts";

/** How the protocol is broken on purpose, at its edges: calls and storage. */
export interface Variant {
  peer?: (peer: Peer) => Peer;
  owner?: (methods: OwnerMethods) => OwnerMethods;
  stub?: (stub: CounterStub) => CounterStub;
  /** Called with the storage of each life of an owner. */
  storage?: (storage: DiskView) => void;
  /** Whether a promise that is kept alive outlives the client of its request. Default true. */
  keepsAlive?: boolean;
}

/** A Worker's isolate. */
export interface Isolate {
  machine: Machine;
  caller: Caller;
  follower: PoliciesFollower;
}

/** What the membership object has on disk. */
interface StoredMembers {
  record: RingRecord;
  pending: string[];
  down: unknown[];
}

/** Owners that are in the ring at some time. */
const OWNERS = 5;

export class World {
  readonly schedule: Schedule;
  readonly network: Network;
  readonly ledger: Ledger;
  readonly objects: Objects;
  readonly variant: Variant;
  readonly ownersPerRegion: number;
  /** What happened, if the run is told. */
  readonly log: string[] = [];
  readonly #isTold: boolean;
  #isolates = 0;

  constructor(seed: number, variant: Variant, isTold: boolean) {
    this.schedule = new Schedule(seed);
    this.network = new Network(this.schedule);
    this.ledger = new Ledger((text) => this.tell(`VIOLATION ${text}`));
    this.objects = new Objects({
      schedule: this.schedule,
      start: (machine) => this.#start(machine),
      onLoss: (machine) => this.ledger.died(machine),
      tell: (text) => this.tell(text),
    });
    this.variant = variant;
    this.ownersPerRegion = this.schedule.int(1, 3);
    this.#isTold = isTold;
  }

  get members(): StoredMembers | undefined {
    return this.objects.disks.get(REGION)?.entries.get("members") as StoredMembers | undefined;
  }

  tell(text: string): void {
    if (this.#isTold) this.log.push(`${this.schedule.nowMs % 10_000_000} ${text}`);
  }

  owner(name: string): Host<OwnerMethods> {
    return this.objects.reach(name) as Host<OwnerMethods>;
  }

  membership(): Host<OperatedRingKeeper> {
    return this.objects.reach(REGION) as Host<OperatedRingKeeper>;
  }

  /** Returns an owner's methods. Each is a call over the network. */
  ownerStub(from: Sender, name: string): Stub<OwnerRpc> {
    const reach = () => this.owner(name);
    return eachMethod((verb) => (...args: unknown[]) => {
      const act = (owner: OwnerMethods) => Reflect.apply(owner[verb], owner, args);
      return this.network.call(from, name, reach, act);
    });
  }

  askMembership<Reply>(from: Sender, act: (members: OperatedRingKeeper) => Promise<Reply>) {
    return this.network.call(from, REGION, () => this.membership(), act);
  }

  newIsolate(): Isolate {
    const machine = new Machine(`isolate ${this.#isolates++}`, this.schedule);
    const runtime: Runtime = {
      ...STILL,
      now: () => machine.now(),
      wait: (ms, end) => (Life.present ?? machine).wait(ms, end),
      keepAlive: (task) => {
        if (this.variant.keepsAlive ?? true) Life.present?.keepAlive(task);
      },
    };
    const follower = new PoliciesFollower({
      deployed: LIVE.policies,
      homeRegion: REGION,
      ask: (_, known) => this.askMembership(machine, (members) => members.policies.later(known)),
      runtime,
      deadlineMs: DEADLINE_MS,
    });
    const caller = new Caller({
      owners: follower.through(this.#namespace(machine)),
      ownersPerRegion: this.ownersPerRegion,
      homeRegion: REGION,
      hashSecret: SECRET,
      deadlineMs: DEADLINE_MS,
      runtime,
      reportFailure: (owner) => {
        this.tell(`${machine.name} reports ${owner}`);
        const report = this.askMembership(machine, (members) =>
          members.reportFailure(owner, machine.name),
        );
        report.catch(() => {});
      },
    });
    return { machine, caller, follower };
  }

  /** Returns the name of an owner, most often of one in the ring. */
  anyOwner(): string {
    const { schedule, members } = this;
    if (members && schedule.odds(0.7)) return schedule.pick(members.record.owners);
    return `${REGION}/${schedule.int(0, OWNERS - 1)}`;
  }

  anyObject(): string {
    return this.schedule.odds(0.2) ? REGION : this.anyOwner();
  }

  crash(name: string): void {
    this.tell(`${name} crashes`);
    this.objects.machine(name)?.die();
  }

  duplicate(name: string): void {
    this.tell(`${name} is duplicated`);
    this.objects.duplicate(name);
  }

  /** Evicts an object that has nothing to do. */
  evict(name: string): void {
    const machine = this.objects.machine(name);
    if (!machine?.isIdle) return;
    this.tell(`${name} is evicted`);
    if (this.ledger.owes(machine)) this.ledger.violated(`${name} was idle and not on disk`);
    machine.die();
  }

  #start(machine: Machine): Host<OwnerMethods | OperatedRingKeeper> {
    const { name } = machine;
    const host = name === REGION ? startMembership(this, machine) : startOwner(this, machine);
    if (!this.#isTold) return host;
    return { ...host, methods: told(host.methods, (text) => this.tell(`${name} ${text}`)) };
  }

  #namespace(machine: Machine): CounterNamespace {
    return {
      getByName: (name) => {
        if (!name.startsWith(`${REGION}/`)) return elsewhere();
        const stub = this.ownerStub(Life.present ?? machine, name);
        return this.variant.stub?.(stub) ?? stub;
      },
    };
  }
}
