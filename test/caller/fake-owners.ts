/** Owners that do what a test says, in place of Durable Objects. */
import type { OwnerNamespace, OwnerStub } from "../../src/caller/call.ts";
import { type Check, Counters } from "../../src/owner/counters.ts";

type Answer = ReturnType<OwnerStub["check"]>;

export class FakeOwners implements OwnerNamespace {
  /** Calls made, by verb and owner. */
  readonly calls: { verb: string; owner: string; batch: readonly unknown[] }[] = [];
  readonly options: DurableObjectNamespaceGetDurableObjectOptions[] = [];
  readonly #counters = new Map<string, Counters>();
  /** Replaces the answer of every owner while it is set. */
  misbehave: ((owner: string) => unknown) | undefined;

  getByName(owner: string, options: DurableObjectNamespaceGetDurableObjectOptions): OwnerStub {
    this.options.push(options);
    const counters = this.#counters.get(owner) ?? new Counters();
    this.#counters.set(owner, counters);
    const answer = async (verb: "check" | "peek", batch: Check[]): Answer => {
      this.calls.push({ verb, owner, batch });
      if (this.misbehave) return (await this.misbehave(owner)) as Awaited<Answer>;
      return batch.map((check) => counters[verb](check, Date.now()));
    };
    return {
      check: (batch) => answer("check", batch),
      peek: (batch) => answer("peek", batch),
      reset: async (batch) => {
        this.calls.push({ verb: "reset", owner, batch });
        if (this.misbehave) await this.misbehave(owner);
        for (const each of batch) counters.reset(each);
      },
    };
  }
}
