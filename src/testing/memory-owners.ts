/** Owners in memory, in place of Durable Objects: the same core, with nothing on disk. */
import { Owner } from "../owner/owner.ts";
import type { OwnerStorage } from "../owner/stored-counters.ts";
import type { CounterNamespace, CounterStub, ObjectOptions } from "../protocol/rpc.ts";
import { decodeBatch, type WireBatch } from "../protocol/wire.ts";
import { encodeAnswer } from "../protocol/wire-answer.ts";
import type { Runtime } from "../runtime.ts";

/** A disk that is never read: these owners do not restart. */
const NO_DISK: OwnerStorage = {
  list: async () => new Map(),
  get: async () => undefined as never,
  put: async () => {},
  delete: async () => 0 as never,
  deleteAll: async () => {},
  sync: async () => {},
  getAlarm: async () => null,
  setAlarm: async () => {},
};

export class MemoryOwners implements CounterNamespace {
  readonly #runtime: Runtime;
  readonly #owners = new Map<string, Owner>();
  /** Whether each call fails, as with a Durable Object that is out of reach. */
  isFailing = false;

  constructor(runtime: Runtime) {
    // Owners schedule only writes to disk, and there is no disk.
    this.#runtime = { ...runtime, after: () => {} };
  }

  /** Forgets all counts; owners answer again. */
  restart(): void {
    this.#owners.clear();
    this.isFailing = false;
  }

  getByName(name: string, _options: ObjectOptions): CounterStub {
    const known = this.#owners.get(name);
    const owner = known ?? new Owner({ runtime: this.#runtime, storage: NO_DISK });
    if (!known) this.#owners.set(name, owner);
    const answer = <Reply>(verb: string, behave: () => Reply) => this.respond(verb, name, behave);
    return {
      check: (batch) => answer("check", () => encodeAnswer(owner.check(checksOf(batch)))),
      peek: (batch) => answer("peek", () => encodeAnswer(owner.peek(checksOf(batch)))),
      refund: (batch) => answer("refund", () => encodeAnswer(owner.refund(checksOf(batch)))),
      reset: (batch) => answer("reset", () => encodeAnswer(owner.reset(checksOf(batch)))),
      block: (_, key, durationMs) =>
        answer("block", () => ({ reply: owner.block(key, durationMs) })),
      unblock: (_, key) => answer("unblock", () => ({ reply: owner.unblock(key) })),
      override: (_, ...of) => answer("override", () => ({ reply: owner.override(...of) })),
      explain: (batch) =>
        answer("explain", () => ({
          explained: checksOf(batch).map((check) => ({ ringVersion: 1, ...owner.explain(check) })),
        })),
    };
  }

  /** Lets an owner answer a call. Tests override it. */
  async respond<Reply>(_verb: string, _owner: string, behave: () => Reply): Promise<Reply> {
    if (this.isFailing) throw new Error("failOwners() of the test kit");
    return behave();
  }
}

function checksOf(batch: WireBatch) {
  return decodeBatch(batch).checks;
}
