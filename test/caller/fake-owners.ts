/** Owners that do what a test says, in place of Durable Objects. */

import { Owner } from "../../src/owner/owner.ts";
import type { CounterNamespace, CounterStub, ObjectOptions } from "../../src/protocol/rpc.ts";
import { decodeBatch, type WireBatch } from "../../src/protocol/wire.ts";
import { encodeAnswer } from "../../src/protocol/wire-answer.ts";
import { STILL } from "../fake-runtime.ts";
import { MemoryStorage } from "../owner/memory-storage.ts";

export class FakeOwners implements CounterNamespace {
  /** Calls made, in order. */
  readonly calls: { verb: string; owner: string }[] = [];
  readonly options: ObjectOptions[] = [];
  readonly #owners = new Map<string, Owner>();
  /** Replaces what every owner does while it is set. */
  misbehave: ((owner: string) => unknown) | undefined;

  getByName(name: string, options: ObjectOptions): CounterStub {
    this.options.push(options);
    const owner =
      this.#owners.get(name) ?? new Owner({ runtime: STILL, storage: new MemoryStorage() });
    this.#owners.set(name, owner);
    const answer = async <Reply>(verb: string, behave: () => Reply): Promise<Reply> => {
      this.calls.push({ verb, owner: name });
      return (this.misbehave ? await this.misbehave(name) : behave()) as Reply;
    };
    return {
      check: (batch) => answer("check", () => encodeAnswer(owner.check(checksOf(batch)))),
      peek: (batch) => answer("peek", () => encodeAnswer(owner.peek(checksOf(batch)))),
      refund: (batch) => answer("refund", () => encodeAnswer(owner.refund(checksOf(batch)))),
      reset: (batch) => answer("reset", () => encodeAnswer(owner.reset(checksOf(batch)))),
      block: (_, key, durationMs) =>
        answer("block", () => ({ reply: owner.block(key, durationMs) })),
      unblock: (_, key) => answer("unblock", () => ({ reply: owner.unblock(key) })),
      explain: (batch) =>
        answer("explain", () => ({
          explained: checksOf(batch).map((check) => ({ ringVersion: 1, ...owner.explain(check) })),
        })),
    };
  }
}

function checksOf(batch: WireBatch) {
  return decodeBatch(batch).checks;
}
