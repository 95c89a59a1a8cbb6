/**
 * What operators do to keys: reset, block, unblock and explain. All but the last reach every
 * region, since a client may enter anywhere.
 *
 * Nothing stands in for an owner here. If one does not answer, the call rejects, and other owners
 * may have done their part by then. Each call may be repeated.
 */
import { readRingRecord, regionOfOwner } from "../protocol/ring-record.ts";
import type { CounterStub, OrMoved } from "../protocol/rpc.ts";
import { type Batch, encodeBatch } from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { REGIONS } from "../ring/region.ts";
import { CallError } from "./call.ts";
import { checkOf, type Message } from "./message.ts";
import type { Owners } from "./owners.ts";
import type { ExplainedKey } from "./question.ts";
import type { Addressed, Delivered, Routes } from "./routes.ts";

/** Keys that an owner explains in one call: the sliding log of each may take 160 KB. */
const EXPLAINED_A_CALL = 150;

export class Operator {
  readonly #owners: Owners;
  readonly #routes: Routes;

  constructor(owners: Owners, routes: Routes) {
    this.#owners = owners;
    this.#routes = routes;
  }

  /** @throws {CallError} if an owner does not answer */
  reset(messages: readonly Message[]): Promise<void> {
    return this.#everywhere(messages, (owner, batch) =>
      this.#owners.insist(owner, "reset", batchOf(batch)),
    );
  }

  /** @throws {CallError} if an owner does not answer */
  block(key: KeyHash, durationMs: number): Promise<void> {
    return this.#operate(key, (stub, version) => stub.block(version, key, durationMs));
  }

  /** @throws {CallError} if an owner does not answer */
  unblock(key: KeyHash): Promise<void> {
    return this.#operate(key, (stub, version) => stub.unblock(version, key));
  }

  /**
   * @returns an explanation for each message, in order of their `index`
   * @throws {CallError} if an owner does not answer
   */
  async explain(messages: Message[]): Promise<ExplainedKey[]> {
    const explained: ExplainedKey[] = [];
    for (let start = 0; start < messages.length; start += EXPLAINED_A_CALL) {
      const some = messages.slice(start, start + EXPLAINED_A_CALL);
      const lost = await this.#routes.deliver(some, async (owner, batch) => {
        const wire = encodeBatch(batchOf(batch));
        const answer = await this.#owners.operate(owner, (stub) => stub.explain(wire));
        const ring = answer.ring && readRingRecord(regionOfOwner(owner), answer.ring);
        for (const [at, { index }] of batch.entries()) {
          const each = answer.explained[at];
          if (each) explained[index] = { owner, ...each };
          else if (!ring) throw new CallError("nonsense", "not an answer to the question");
        }
        return { verdicts: answer.explained, ring };
      });
      requireNone(lost);
    }
    return explained;
  }

  #operate(
    key: KeyHash,
    call: (stub: CounterStub, version: number) => Promise<OrMoved<void>>,
  ): Promise<void> {
    return this.#everywhere([{ key }], async (owner, [{ version } = { version: 0 }]) => {
      const operated = await this.#owners.operate(owner, (stub) => call(stub, version));
      if ("reply" in operated) return { verdicts: [true] };
      return { verdicts: [], ring: readRingRecord(regionOfOwner(owner), operated.moved) };
    });
  }

  /** Asks the owners of these keys in all regions. */
  async #everywhere<Asked extends { key: KeyHash }>(
    asked: readonly Asked[],
    ask: (owner: string, batch: (Asked & Addressed)[]) => Promise<Delivered>,
  ): Promise<void> {
    const messages = asked.flatMap((each) =>
      REGIONS.map((region) => ({ ...each, region, ...this.#routes.to(each.key, region) })),
    );
    requireNone(await this.#routes.deliver(messages, ask));
  }
}

/** Returns the batch for one owner. Its messages were addressed at one time, and so by one ring. */
function batchOf(messages: readonly Message[]): Batch {
  return {
    version: messages[0]?.version ?? 0,
    checks: messages.map((message) => checkOf(message)),
  };
}

function requireNone(lost: readonly unknown[]): void {
  if (lost.length > 0) throw new CallError("threw", "keys have moved again and again");
}
