/**
 * Isolates and owners of the cache as they are, on machines that crash and a network that loses
 * messages, through ring changes, in virtual time. It checks each value that is given.
 */
import { CacheClient, type Route } from "../../src/cache/cache-client.ts";
import { CacheOwner, LEASE_MS } from "../../src/cache/cache-owner.ts";
import type { CacheRpc } from "../../src/cache/rpc.ts";
import type { Computed } from "../../src/cache/value.ts";
import type { Stub } from "../../src/protocol/rpc.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";
import type { Runtime } from "../../src/runtime.ts";
import { Schedule } from "../simulation/schedule.ts";

export const DEADLINE_MS = 250;
/** The most that a call which is not lost takes, there and back. */
const TRAVEL_MS = 80;
const COPY_MS = 1_000;

/** What a computation has made, written into the value. */
interface Made {
  key: string;
  beganMs: number;
  endedMs: number;
  ttlMs: number;
}

export class World {
  readonly schedule: Schedule;
  /** What was wrong, in words. */
  readonly wrong: string[] = [];
  readonly counts = { given: 0, computed: 0, hits: 0, errors: 0 };
  lossShare = 0;
  ring: Ring;
  /** Breaks the protocol on purpose. */
  tamper = (owner: CacheOwner): CacheRpc => owner;
  readonly #owners = new Map<string, { owner: CacheRpc }>();
  #isolates: CacheClient[] = [];
  readonly #fences = new Map<string, Set<number>>();
  /** When each key was last purged, and the purge confirmed. */
  readonly #purges: { key: string; sentMs: number; doneMs: number; by: CacheClient }[] = [];
  #open = 0;

  constructor(seed: number) {
    this.schedule = new Schedule(seed);
    this.ring = new Ring(["weur/0", "weur/1", "weur/2"], 1);
    for (let n = 0; n < 4; n++) this.#isolates.push(this.#newIsolate());
  }

  /** Lookups that have not ended. */
  get open(): number {
    return this.#open;
  }

  /** Has an isolate look a key up, and checks what it gets. */
  lookUp(key: string): void {
    const { schedule } = this;
    const client = schedule.pick(this.#isolates);
    const beganMs = schedule.nowMs;
    let computeMs = 0;
    const compute = async (): Promise<Computed | undefined> => {
      const made = { key, beganMs: schedule.nowMs, ttlMs: schedule.pick([500, 3_000, 20_000]) };
      // Some take longer than a lease, some fail, some have nothing to keep.
      const ms = schedule.pick([1, 50, 50, 400, LEASE_MS + 2_000]);
      computeMs += ms;
      await this.#wait(ms);
      this.counts.computed++;
      if (schedule.odds(0.05)) throw new Error("computed to fail");
      if (schedule.odds(0.05)) return undefined;
      const { nowMs: endedMs } = schedule;
      const value = new TextEncoder().encode(JSON.stringify({ ...made, endedMs }));
      return { value, ttlMs: made.ttlMs, tags: [`tag of ${key}`] };
    };
    this.#open++;
    client
      .lookUp(key, compute)
      .then((found) => {
        if (found?.source === "copy" || found?.source === "owner") this.counts.hits++;
        if (found) this.#check(client, key, beganMs, found.value);
      })
      .catch((error: Error) => {
        this.counts.errors++;
        if (error.message !== "computed to fail") this.wrong.push(`${key}: ${error.message}`);
      })
      .finally(() => {
        this.#open--;
        this.counts.given++;
        const waitedMs = schedule.nowMs - beganMs - computeMs;
        if (waitedMs > LEASE_MS + 3 * DEADLINE_MS) this.wrong.push(`${key} waited ${waitedMs} ms`);
      });
  }

  purge(key: string): void {
    const client = this.schedule.pick(this.#isolates);
    const sentMs = this.schedule.nowMs;
    const isByTag = this.schedule.odds(0.3);
    const purged = isByTag ? client.purgeTag(`tag of ${key}`) : client.purge(key);
    purged.then(
      () => this.#purges.push({ key, sentMs, doneMs: this.schedule.nowMs, by: client }),
      () => {},
    );
  }

  /** The owner forgets all; calls to it that are under way never end, or fail. */
  crash(name: string): void {
    this.#owners.delete(name);
  }

  endIsolate(): void {
    this.#isolates = [...this.#isolates.slice(1), this.#newIsolate()];
  }

  changeRing(owners: string[]): void {
    this.ring = new Ring(owners, this.ring.version + 1);
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.schedule.nowMs + ms;
    do await new Promise((resolve) => setImmediate(resolve));
    while (this.schedule.step(untilMs));
  }

  #check(client: CacheClient, key: string, askedMs: number, value: Uint8Array): void {
    const made = JSON.parse(new TextDecoder().decode(value)) as Made;
    const { nowMs } = this.schedule;
    if (made.key !== key) this.wrong.push(`${key} got the value of ${made.key}`);
    // An owner counts the time to live from when it has got the value.
    const ageMs = nowMs - made.endedMs;
    if (ageMs > made.ttlMs + 2 * TRAVEL_MS) this.wrong.push(`${key} is ${ageMs} ms old`);
    for (const { key: purged, sentMs, doneMs, by } of this.#purges) {
      const knownMs = by === client ? doneMs : doneMs + COPY_MS + TRAVEL_MS;
      if (purged === key && made.beganMs < sentMs && askedMs > knownMs) {
        this.wrong.push(`${key} got a value that was purged ${askedMs - doneMs} ms before`);
      }
    }
  }

  #newIsolate(): CacheClient {
    return new CacheClient({
      runtime: this.#runtime,
      deadlineMs: DEADLINE_MS,
      stubOf: (owner) => this.#stub(owner),
      ready: () => undefined,
      ringVersion: () => this.ring.version,
      routeOf: (key) => this.#routeOf(key),
      allRoutesOf: async (key) => [this.#routeOf(key)],
      allOwners: async () => this.ring.owners,
    });
  }

  #routeOf(key: string): Route {
    const { version } = this.ring;
    return { owner: this.ring.ownerOf(hash([key])), version, name: `${version} ${key}` };
  }

  #stub(name: string): Stub<CacheRpc> {
    return {
      find: (...given) => this.#call(name, (owner) => owner.find(...given)),
      lookUp: async (key, newerThan) => {
        const looked = await this.#call(
          name,
          (owner) => owner.lookUp(key, newerThan),
          (reply) => {
            if (reply.kind === "lease") this.#note(`${name} ${key}`, reply.fence);
          },
        );
        return looked;
      },
      wait: (...given) => this.#call(name, (owner) => owner.wait(...given)),
      put: (...given) => this.#call(name, (owner) => owner.put(...given)),
      purge: (...given) => this.#call(name, (owner) => owner.purge(...given)),
      purgeTag: (...given) => this.#call(name, (owner) => owner.purgeTag(...given)),
    };
  }

  /** A call that may be lost on its way there or back. The caller gets an error, or hears nothing. */
  #call<Reply>(
    name: string,
    run: (owner: CacheRpc) => Reply | Promise<Reply>,
    note: (reply: Reply) => void = () => {},
  ): Promise<Reply> {
    const { schedule } = this;
    return new Promise((resolve, reject) => {
      const fail = () => schedule.odds(0.5) && reject(new Error("lost"));
      const travel = () => schedule.int(1, TRAVEL_MS / 2);
      schedule.after(travel(), async () => {
        if (schedule.odds(this.lossShare)) return fail();
        const machine = this.#machine(name);
        const reply = await run(machine.owner);
        note(reply);
        if (schedule.odds(this.lossShare) || this.#owners.get(name) !== machine) return fail();
        schedule.after(travel(), () => resolve(reply));
      });
    });
  }

  #note(key: string, fence: number): void {
    const known = this.#fences.get(key) ?? new Set();
    if (known.has(fence)) this.wrong.push(`${key}: two computers have the number ${fence}`);
    this.#fences.set(key, known.add(fence));
  }

  #machine(name: string) {
    const owner = this.tamper(new CacheOwner(this.#runtime));
    const machine = this.#owners.get(name) ?? { owner };
    this.#owners.set(name, machine);
    return machine;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.schedule.after(ms, resolve));
  }

  get #runtime(): Runtime {
    const { schedule } = this;
    return {
      now: () => schedule.nowMs,
      wait: (ms) => this.#wait(ms),
      after: (ms, task) => schedule.after(ms, () => void task()),
      keepAlive: () => {},
    };
  }
}

const hash = keyHasher("a secret");
