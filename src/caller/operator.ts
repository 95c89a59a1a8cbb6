/**
 * What operators do to keys: reset, block and unblock in all regions, since a client may enter
 * anywhere, and explain.
 *
 * Nothing stands in for an owner here. One that does not answer is an error, and the others may have
 * done their part by then: each of these may be asked again.
 */
import { readRingRecord, regionOf } from "../protocol/ring-record.ts";
import type { Explained, ExplainedBatch } from "../protocol/rpc.ts";
import { type Batch, encodeBatch } from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { REGIONS } from "../ring/region.ts";
import { CallError } from "./call.ts";
import { checkOf, type Message } from "./message.ts";
import type { Owners } from "./owners.ts";
import type { ExplainedKey } from "./question.ts";
import type { Routes } from "./routes.ts";

/** Keys that an owner explains in one call: a sliding log of each may take 80 KB. */
const EXPLAINED_A_CALL = 100;

export class Operator {
  readonly #owners: Owners;
  readonly #routes: Routes;

  constructor(owners: Owners, routes: Routes) {
    this.#owners = owners;
    this.#routes = routes;
  }

  /** @throws {CallError} if an owner does not answer */
  async reset(messages: readonly Message[]): Promise<void> {
    const everywhere = messages.flatMap((message) =>
      REGIONS.map((region) => {
        return { ...message, region, ...this.#routes.to(message.key, region) };
      }),
    );
    const lost = await this.#routes.deliver(everywhere, (owner, batch) =>
      this.#owners.insist(owner, "reset", batchOf(batch)),
    );
    requireNone(lost);
  }

  /** @throws {CallError} if an owner does not answer */
  block(key: KeyHash, durationMs: number): Promise<void> {
    return this.#routes.operateEverywhere(key, (stub, version) =>
      stub.block(version, key, durationMs),
    );
  }

  /** @throws {CallError} if an owner does not answer */
  unblock(key: KeyHash): Promise<void> {
    return this.#routes.operateEverywhere(key, (stub, version) => stub.unblock(version, key));
  }

  /**
   * @returns an explanation for each message, in order of their `index`
   * @throws {CallError} if an owner does not answer
   */
  async explain(messages: Message[]): Promise<ExplainedKey[]> {
    const explained: ExplainedKey[] = [];
    const lost = await this.#routes.deliver(messages, async (owner, batch) => {
      const answer = await this.#explainSome(owner, batch);
      for (const [at, { index }] of batch.entries()) {
        const each = answer.verdicts[at];
        if (each) explained[index] = { owner, ...each };
        else if (!answer.ring) throw new CallError("nonsense", "not an answer to the question");
      }
      return answer;
    });
    requireNone(lost);
    return explained;
  }

  async #explainSome(owner: string, batch: readonly Message[]) {
    const calls: Promise<ExplainedBatch>[] = [];
    for (let start = 0; start < batch.length; start += EXPLAINED_A_CALL) {
      const wire = encodeBatch(batchOf(batch.slice(start, start + EXPLAINED_A_CALL)));
      calls.push(this.#owners.operate(owner, (stub) => stub.explain(wire)));
    }
    const answers = await Promise.all(calls);
    const ring = answers.find((answer) => answer.ring)?.ring;
    const verdicts: (Explained | undefined)[] = answers.flatMap(({ explained }) => explained);
    return { verdicts, ring: ring && readRingRecord(regionOf(owner), ring) };
  }
}

/** Those to one owner, as they were addressed: at one time, and so by one ring. */
function batchOf(messages: readonly Message[]): Batch {
  return {
    version: messages[0]?.version ?? 0,
    checks: messages.map((message) => checkOf(message)),
  };
}

function requireNone(lost: readonly Message[]): void {
  if (lost.length > 0) throw new CallError("threw", "keys have moved again and again");
}
