/**
 * All there is in a run: objects and isolates on machines, the network between them, and chance.
 *
 * An object has one life at a time, but for the moments in which it is duplicated: then its older
 * life still answers some of the calls, and what it writes is refused.
 */
import { inspect } from "node:util";
import type { OwnerNamespace, OwnerStub } from "../../src/caller/call.ts";
import { Caller } from "../../src/caller/caller.ts";
import type { Peer } from "../../src/owner/takeover.ts";
import type { Members } from "../../src/ring/members.ts";
import type { RingRecord } from "../../src/ring/ring-record.ts";
import { type Disk, newDisk } from "./disk.ts";
import { elsewhere } from "./elsewhere.ts";
import { DEADLINE_MS, type OwnerMethods, REGION, startMembership, startOwner } from "./hosts.ts";
import { Ledger } from "./ledger.ts";
import { Machine } from "./machine.ts";
import { type Host, Network } from "./network.ts";
import { Schedule } from "./schedule.ts";
import { SECRET } from "./subjects.ts";

/** How the protocol is broken on purpose, at the edges where it meets the world. */
export interface Variant {
  peer?: (peer: Peer) => Peer;
  owner?: (methods: OwnerMethods) => OwnerMethods;
  stub?: (stub: OwnerStub) => OwnerStub;
}

/** A Worker's isolate. */
export interface Isolate {
  machine: Machine;
  caller: Caller;
}

export interface StoredMembers {
  record: RingRecord;
  pending: string[];
  down: unknown[];
}

interface Lives<Methods> {
  disk: Disk;
  present?: Host<Methods> | undefined;
  older?: Host<Methods> | undefined;
}

const INSPECT = { depth: 6, compact: 100, breakLength: Number.POSITIVE_INFINITY };
const ALARM_RETRY_MS = 2_000;
const MOST_DUPLICATED_MS = 1_500;

export class World {
  readonly schedule: Schedule;
  readonly network: Network;
  readonly ledger: Ledger;
  readonly variant: Variant;
  readonly startingOwners: number;
  /** What happened, if it is to be told. */
  readonly log: string[] = [];
  readonly #isTold: boolean;
  readonly #objects = new Map<string, Lives<OwnerMethods | Members>>();
  #isolates = 0;

  constructor(seed: number, variant: Variant, isTold: boolean) {
    this.schedule = new Schedule(seed);
    this.network = new Network(this.schedule);
    this.ledger = new Ledger((text) => this.tell(`VIOLATION ${text}`));
    this.variant = variant;
    this.startingOwners = this.schedule.int(1, 3);
    this.#isTold = isTold;
  }

  get objects(): ReadonlyMap<string, { disk: Disk }> {
    return this.#objects;
  }

  /** What the membership object has on disk. */
  get members(): StoredMembers | undefined {
    return this.#objects.get(REGION)?.disk.entries.get("members") as StoredMembers | undefined;
  }

  tell(text: string): void {
    if (this.#isTold) this.log.push(`${this.schedule.nowMs % 10_000_000} ${text}`);
  }

  owner(name: string): Host<OwnerMethods> {
    return this.#reach(name) as Host<OwnerMethods>;
  }

  membership(): Host<Members> {
    return this.#reach(REGION) as Host<Members>;
  }

  /** How a machine calls others. */
  line<Methods>(from: Machine, reach: (name: string) => Host<Methods>) {
    return <Reply>(to: string, act: (methods: Methods) => Reply | Promise<Reply>) =>
      this.network.call(from, to, () => reach(to), act);
  }

  newIsolate(): Isolate {
    const machine = new Machine(`isolate ${this.#isolates++}`, this.schedule);
    const membership = this.line(machine, () => this.membership());
    const caller = new Caller({
      owners: this.#namespace(machine),
      ownersPerRegion: this.startingOwners,
      homeRegion: REGION,
      hashSecret: SECRET,
      deadlineMs: DEADLINE_MS,
      platform: {
        now: () => machine.now(),
        wait: (ms) => machine.wait(ms),
        keepAlive: () => {},
      },
      reportFailure: (owner) => {
        this.tell(`${machine.name} reports ${owner}`);
        const report = membership(REGION, (it) => it.reportFailure(owner, machine.name));
        report.catch(() => {});
      },
    });
    return { machine, caller };
  }

  crash(name: string): void {
    const host = this.#objects.get(name)?.present;
    if (!host) return;
    this.tell(`${name} crashes`);
    host.machine.die();
  }

  /** Has the object begin another life while this one goes on for a moment. */
  duplicate(name: string): void {
    const lives = this.#objects.get(name);
    const host = lives?.present;
    if (!host) return;
    this.tell(`${name} is duplicated`);
    const { machine } = host;
    lives.older?.machine.die();
    lives.older = host;
    lives.present = undefined;
    machine.isSole = false;
    this.ledger.died(machine);
    this.schedule.after(this.schedule.int(0, MOST_DUPLICATED_MS), () => machine.die());
  }

  /** Lets go of an object that has nothing to do. */
  evict(name: string): void {
    const host = this.#objects.get(name)?.present;
    if (!host?.machine.isIdle) return;
    this.tell(`${name} is evicted`);
    if (this.ledger.owes(host.machine)) this.ledger.violated(`${name} was idle and not on disk`);
    host.machine.die();
  }

  #reach(name: string): Host<OwnerMethods | Members> {
    const lives = this.#livesOf(name);
    if (lives.older && this.schedule.odds(0.5)) return lives.older;
    lives.present ??= this.#start(name, lives);
    return lives.present;
  }

  #livesOf(name: string): Lives<OwnerMethods | Members> {
    const known = this.#objects.get(name);
    if (known) return known;
    const lives = { disk: newDisk((atMs) => this.#setAlarm(name, atMs)) };
    this.#objects.set(name, lives);
    return lives;
  }

  #start(name: string, lives: Lives<OwnerMethods | Members>): Host<OwnerMethods | Members> {
    this.tell(`${name} starts`);
    const machine = new Machine(name, this.schedule, lives.disk, () => {
      this.tell(`a life of ${name} ends`);
      if (lives.present?.machine === machine) lives.present = undefined;
      if (lives.older?.machine === machine) lives.older = undefined;
      this.ledger.died(machine);
    });
    const host = name === REGION ? startMembership(this, machine) : startOwner(this, machine);
    host.ready.catch(() => machine.die());
    return this.#isTold ? { ...host, methods: told(this, name, host.methods) } : host;
  }

  #setAlarm(name: string, atMs: number): void {
    this.schedule.at(atMs, () => {
      const { disk } = this.#livesOf(name);
      if (disk.alarmMs !== atMs) return;
      disk.alarmMs = null;
      void this.#ring(name);
    });
  }

  /** Wakes an object until it has seen its alarm through. */
  async #ring(name: string): Promise<void> {
    const lives = this.#livesOf(name);
    lives.present ??= this.#start(name, lives);
    const { machine, ready, methods } = lives.present;
    this.tell(`${name} has an alarm`);
    const again = () => this.schedule.after(ALARM_RETRY_MS, () => void this.#ring(name));
    machine.calls.add(again);
    try {
      await ready;
      await methods.wake();
      // An alarm is over when what it wrote is on disk.
      await machine.storage.sync();
    } catch {
      if (machine.isAlive) again();
    } finally {
      machine.calls.delete(again);
    }
  }

  #namespace(machine: Machine): OwnerNamespace {
    const ask = this.line(machine, (name) => this.owner(name));
    return {
      getByName: (name) => {
        if (!name.startsWith(`${REGION}/`)) return elsewhere();
        const stub: OwnerStub = {
          check: (batch) => ask(name, (owner) => owner.check(batch)),
          peek: (batch) => ask(name, (owner) => owner.peek(batch)),
          refund: (batch) => ask(name, (owner) => owner.refund(batch)),
          reset: (batch) => ask(name, (owner) => owner.reset(batch)),
          block: (...args) => ask(name, (owner) => owner.block(...args)),
          unblock: (...args) => ask(name, (owner) => owner.unblock(...args)),
          explain: (...args) => ask(name, (owner) => owner.explain(...args)),
        };
        return this.variant.stub?.(stub) ?? stub;
      },
    };
  }
}

/** The same methods, which also say what they are asked and what they answer. */
function told<Methods extends object>(world: World, name: string, methods: Methods): Methods {
  return new Proxy(methods, {
    get(target, verb) {
      const method = target[verb as keyof Methods];
      if (typeof method !== "function") return method;
      return async (...args: unknown[]) => {
        const call = `${name} ${String(verb)} ${inspect(args, INSPECT)}`;
        try {
          const reply = await method.apply(target, args);
          world.tell(`${call}: ${inspect(reply, INSPECT)}`);
          return reply;
        } catch (error) {
          world.tell(`${call}: ${error}`);
          throw error;
        }
      };
    },
  });
}
