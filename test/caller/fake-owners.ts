/** Owners that do what a test says, in place of Durable Objects. */
import type { OwnerNamespace, OwnerStub } from "../../src/caller/call.ts";
import { Owner } from "../../src/owner/owner.ts";
import { decodeBatch, encodeAnswer } from "../../src/owner/wire.ts";
import { MemoryStorage } from "../owner/memory-storage.ts";

export class FakeOwners implements OwnerNamespace {
  /** Calls made, in order. */
  readonly calls: { verb: string; owner: string }[] = [];
  readonly options: DurableObjectNamespaceGetDurableObjectOptions[] = [];
  readonly #owners = new Map<string, Owner>();
  /** Replaces what every owner does while it is set. */
  misbehave: ((owner: string) => unknown) | undefined;

  getByName(name: string, options: DurableObjectNamespaceGetDurableObjectOptions): OwnerStub {
    this.options.push(options);
    const owner =
      this.#owners.get(name) ??
      new Owner({ clock: () => Date.now(), storage: new MemoryStorage(), after: () => {} });
    this.#owners.set(name, owner);
    const answer = async <Reply>(verb: string, behave: () => Reply): Promise<Reply> => {
      this.calls.push({ verb, owner: name });
      return (this.misbehave ? await this.misbehave(name) : behave()) as Reply;
    };
    return {
      check: (batch) => answer("check", () => encodeAnswer(owner.check(decodeBatch(batch)))),
      peek: (batch) => answer("peek", () => encodeAnswer(owner.peek(decodeBatch(batch)))),
      refund: (batch) => answer("refund", () => encodeAnswer(owner.refund(decodeBatch(batch)))),
      reset: (batch) => answer("reset", () => owner.reset(batch)),
      block: (key, durationMs) => answer("block", () => owner.block(key, durationMs)),
      unblock: (key) => answer("unblock", () => owner.unblock(key)),
      explain: (check) => answer("explain", () => owner.explain(check)),
    };
  }
}
