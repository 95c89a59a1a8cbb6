/** Owners that do what a test says, in place of Durable Objects. */
import type { ObjectOptions } from "../../src/protocol/rpc.ts";
import { MemoryOwners } from "../../src/testing/memory-owners.ts";
import { STILL } from "../fake-runtime.ts";

export class FakeOwners extends MemoryOwners {
  /** Calls made, in order. */
  readonly calls: { verb: string; owner: string }[] = [];
  readonly options: ObjectOptions[] = [];
  /** Replaces what every owner does while it is set. */
  misbehave: ((owner: string) => unknown) | undefined;

  constructor() {
    super(STILL);
  }

  override getByName(name: string, options: ObjectOptions) {
    this.options.push(options);
    return super.getByName(name, options);
  }

  override async respond<Reply>(verb: string, owner: string, behave: () => Reply): Promise<Reply> {
    this.calls.push({ verb, owner });
    return (this.misbehave ? await this.misbehave(owner) : behave()) as Reply;
  }
}
