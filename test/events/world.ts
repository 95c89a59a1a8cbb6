/**
 * Senders, owners and the directory of events as they are, on machines that crash and a network that
 * loses messages, in virtual time.
 */
import { DatabaseSync } from "node:sqlite";
import { EventDirectory } from "../../src/events/event-directory.ts";
import { EventOwner, WRITE_MS } from "../../src/events/event-owner.ts";
import { EventReader } from "../../src/events/event-reader.ts";
import type { EventStorage } from "../../src/events/event-rows.ts";
import { EventSender } from "../../src/events/event-sender.ts";
import type { Batch } from "../../src/events/event-store.ts";
import type { EventsRpc } from "../../src/events/rpc.ts";
import { keyOf } from "../../src/events/tuple.ts";
import type { Stub } from "../../src/protocol/rpc.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";
import type { Runtime } from "../../src/runtime.ts";
import { Schedule } from "../simulation/schedule.ts";

const hash = keyHasher("a secret");
export const valueHash = (value: string) => hash([value]);

/** A storage as an object has it, on SQLite in memory. */
export function sqliteStorage() {
  const db = new DatabaseSync(":memory:");
  const storage: EventStorage & Pick<DurableObjectStorage, "setAlarm" | "deleteAll"> = {
    sql: { exec: (query, ...values) => db.prepare(query).all(...values) },
    transactionSync(work) {
      db.exec("BEGIN");
      try {
        const result = work();
        db.exec("COMMIT");
        return result;
      } catch (error) {
        db.exec("ROLLBACK");
        throw error;
      }
    },
    setAlarm: async () => {},
    deleteAll: async () => db.exec("DROP TABLE lines"),
  };
  return storage;
}

/** Amounts by tuple. */
export class Ledger extends Map<string, number> {
  add(id: string, amount: number): void {
    this.set(id, (this.get(id) ?? 0) + amount);
  }

  get total(): number {
    return [...this.values()].reduce((sum, amount) => sum + amount, 0);
  }
}

interface Machine {
  storage: ReturnType<typeof sqliteStorage>;
  owner: EventOwner | undefined;
  /** What it counted lately, and when: a crash may lose it. */
  recent: { atMs: number; counts: Batch["counts"] }[];
}

interface Isolate {
  sender: EventSender;
  isAlive: boolean;
  /** What it counted and no owner has confirmed. */
  open: Ledger;
}

export class World {
  readonly schedule: Schedule;
  readonly sent = new Ledger();
  /** What a crash or the end of an isolate may have lost. */
  readonly mayBeLost = new Ledger();
  lossShare = 0;
  /** What events are called. */
  name = "api";
  ring: Ring;
  /** Breaks the protocol on purpose. */
  tamper = (batch: Batch) => batch;
  /** How much later tasks of owners run than they ask for: a fault, too. */
  lateMs = 0;
  readonly #machines = new Map<string, Machine>();
  readonly #directory = new EventDirectory(sqliteStorage());
  #isolates: Isolate[] = [];
  #made = 0;

  constructor(seed: number) {
    this.schedule = new Schedule(seed);
    this.ring = new Ring(["weur/0", "weur/1", "weur/2"]);
    for (let n = 0; n < 3; n++) this.#newIsolate();
  }

  get owners(): string[] {
    return [...this.#machines.keys()];
  }

  count(customer: string, endpoint: string, amount: number): void {
    const isolate = this.schedule.pick(this.#isolates);
    const key = keyOf({ customer, endpoint });
    this.sent.add(key, amount);
    isolate.open.add(key, amount);
    isolate.sender.count(this.name, key, amount);
  }

  crash(name: string): void {
    const machine = this.#machines.get(name);
    if (!machine) return;
    machine.owner = undefined;
    const sinceMs = this.schedule.nowMs - WRITE_MS;
    for (const { atMs, counts } of machine.recent) {
      if (atMs >= sinceMs) this.#book(this.mayBeLost, counts);
    }
    machine.recent = [];
  }

  endIsolate(): void {
    const isolate = this.schedule.pick(this.#isolates);
    isolate.isAlive = false;
    for (const [key, amount] of isolate.open) this.mayBeLost.add(key, amount);
    this.#isolates = this.#isolates.filter((each) => each !== isolate);
    this.#newIsolate();
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.schedule.nowMs + ms;
    do await new Promise((resolve) => setImmediate(resolve));
    while (this.schedule.step(untilMs));
  }

  reader(): EventReader {
    const runtime = this.#runtime(() => true);
    const stubOf = (name: string) => this.#stub(name);
    return new EventReader({ runtime, stubOf, directory: "weur/directory", hash: valueHash });
  }

  #newIsolate(): void {
    const isolate: Isolate = { isAlive: true, open: new Ledger() } as Isolate;
    isolate.sender = new EventSender({
      runtime: this.#runtime(() => isolate.isAlive),
      ownerOf: (name, key) => this.ring.ownerOf(hash([name, key])),
      record: (owner, batch) => this.#record(isolate, owner, batch),
      newSender: () => `isolate ${this.#made++}`,
      random: () => this.schedule.int(0, 1_000) / 1_000,
    });
    this.#isolates.push(isolate);
  }

  /** A call that may be lost on its way there or back. The caller gets an error, or hears nothing. */
  #record(isolate: Isolate, owner: string, batch: Batch): Promise<void> {
    const { schedule } = this;
    return new Promise((resolve, reject) => {
      const isLost = () => schedule.odds(this.lossShare);
      const fail = () => schedule.odds(0.5) && reject(new Error("lost"));
      const back = () => {
        if (!isolate.isAlive) return;
        for (let at = 0; at < batch.counts.length; at += 3) {
          isolate.open.add(String(batch.counts[at + 1]), -Number(batch.counts[at + 2]));
        }
        resolve();
      };
      schedule.after(schedule.int(1, 40), async () => {
        if (isLost()) return fail();
        const machine = this.#machine(owner);
        const process = machine.owner;
        machine.recent.push({ atMs: schedule.nowMs, counts: batch.counts });
        await process?.record(this.tamper(batch));
        // It may have waited for the directory.
        machine.recent.push({ atMs: schedule.nowMs, counts: batch.counts });
        if (isLost() || machine.owner !== process) return fail();
        schedule.after(schedule.int(1, 40), back);
      });
    });
  }

  #stub(name: string): Stub<EventsRpc> {
    const owner = () => this.#machine(name).owner as EventOwner;
    return {
      record: async (batch) => owner().record(batch),
      read: async (reads) => structuredClone(owner().read(reads)),
      announce: async (each) => this.#directory.announce(each, this.schedule.nowMs),
      owners: async () => this.#directory.owners(),
    };
  }

  /** A machine begins anew when it is called after a crash. */
  #machine(name: string): Machine {
    const machine = this.#machines.get(name) ?? {
      storage: sqliteStorage(),
      owner: undefined,
      recent: [],
    };
    this.#machines.set(name, machine);
    if (!machine.owner) {
      const isAlive = () => machine.owner === owner;
      const owner: EventOwner = new EventOwner({
        name,
        runtime: this.#runtime(isAlive),
        storage: machine.storage,
        hash: valueHash,
        announce: () => this.#stub(name).announce(name),
      });
      machine.owner = owner;
    }
    return machine;
  }

  #runtime(isAlive: () => boolean): Runtime {
    const { schedule } = this;
    const later = (ms: number, run: () => void) => schedule.after(ms, () => isAlive() && run());
    return {
      now: () => schedule.nowMs,
      wait: (ms) => new Promise((resolve) => later(ms, resolve)),
      after: (ms, task) => later(ms + this.lateMs, () => void task()),
      keepAlive: () => {},
    };
  }

  #book(ledger: Ledger, counts: Batch["counts"]): void {
    for (let at = 0; at < counts.length; at += 3) {
      ledger.add(String(counts[at + 1]), Number(counts[at + 2]));
    }
  }
}
