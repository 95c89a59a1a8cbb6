/**
 * Calls that must reach an owner: what operators do to keys (reset, block, unblock, override,
 * explain), and settlements. A reset, block, unblock or override reaches every region, since a
 * client may enter anywhere.
 *
 * Nothing stands in for an owner here. If one does not answer, the call rejects, and other owners
 * may have done their part by then. Each call may be repeated.
 */
import type { Policy } from "../limit/policy.ts";
import { readRingRecord, regionOfOwner } from "../protocol/ring-record.ts";
import type { CounterStub, OrMoved } from "../protocol/rpc.ts";
import { encodeBatch } from "../protocol/wire.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { REGIONS } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";
import { CallError } from "./call.ts";
import { type Dispatched, dispatch, type OwnerAnswer } from "./dispatch.ts";
import { batchOf, counterPolicy, type Message } from "./message.ts";
import type { OwnerClient } from "./owner-client.ts";
import type { ExplainedKey } from "./question.ts";
import type { Routed, Router } from "./router.ts";

/** Keys that an owner explains in one call: the sliding log of each may take 160 KB. */
const EXPLAINED_A_CALL = 150;
/** Pauses before a settlement is tried again. */
const SETTLE_PAUSES_MS = [100, 1_000];

export class Operator {
  readonly #owners: OwnerClient;
  readonly #router: Router;

  constructor(owners: OwnerClient, router: Router) {
    this.#owners = owners;
    this.#router = router;
  }

  reset(messages: readonly Message[]): Promise<void> {
    return this.#everywhere(messages, (owner, batch) =>
      this.#owners.askForOperator(owner, "reset", batchOf(batch)),
    );
  }

  block(key: KeyHash, durationMs: number): Promise<void> {
    return this.#operate(key, (stub, version) => stub.block(version, key, durationMs));
  }

  unblock(key: KeyHash): Promise<void> {
    return this.#operate(key, (stub, version) => stub.unblock(version, key));
  }

  /** @param limit as in `CounterRpc` */
  override(key: KeyHash, policy: Policy, limit: number | null, durationMs: number): Promise<void> {
    const counted = counterPolicy(policy);
    return this.#operate(key, (stub, version) =>
      stub.override(version, key, counted, limit, durationMs),
    );
  }

  /**
   * @returns an explanation for each message, in order of their `index`
   * @throws {CallError} if an owner does not answer
   */
  async explain(messages: Message[]): Promise<ExplainedKey[]> {
    const explained: ExplainedKey[] = [];
    for (let start = 0; start < messages.length; start += EXPLAINED_A_CALL) {
      const some = messages.slice(start, start + EXPLAINED_A_CALL);
      const ended = await dispatch(this.#router, some, async (owner, batch) => {
        const wire = encodeBatch(batchOf(batch));
        const answer = await this.#owners.callForOperator(owner, (stub) => stub.explain(wire));
        const ring = answer.ring && readRingRecord(regionOfOwner(owner), answer.ring);
        if (!ring && batch.some((_, at) => !answer.explained[at])) {
          throw new CallError("nonsense", "not an answer to the question");
        }
        return { verdicts: answer.explained, ring };
      });
      requireAnswered(ended);
      for (const { message, answer, index } of ended) {
        const each = answer?.verdicts[index];
        if (each) explained[message.index] = { owner: message.owner, ...each };
      }
    }
    return explained;
  }

  /**
   * Settles holds. Asks again if an owner does not answer: a hold is settled once, however often
   * the owner is asked.
   *
   * @throws {CallError} if an owner does not answer
   */
  async settle(messages: readonly Message[], runtime: Runtime) {
    for (const pauseMs of SETTLE_PAUSES_MS) {
      try {
        return await this.#settle(messages);
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        await runtime.wait(pauseMs);
      }
    }
    return this.#settle(messages);
  }

  async #settle(messages: readonly Message[]): Promise<Dispatched<Message, Answer>[]> {
    const ended = await dispatch(this.#router, messages, (owner, batch) =>
      this.#owners.askForOperator(owner, "refund", batchOf(batch)),
    );
    requireAnswered(ended);
    return ended;
  }

  #operate(
    key: KeyHash,
    call: (stub: CounterStub, version: number) => Promise<OrMoved<void>>,
  ): Promise<void> {
    return this.#everywhere([{ key }], async (owner, [{ version } = { version: 0 }]) => {
      const operated = await this.#owners.callForOperator(owner, (stub) => call(stub, version));
      if ("reply" in operated) return { verdicts: [true] };
      return { verdicts: [], ring: readRingRecord(regionOfOwner(owner), operated.moved) };
    });
  }

  /** Asks the owners of these keys in all regions. */
  async #everywhere<Asked extends { key: KeyHash }>(
    asked: readonly Asked[],
    ask: (owner: string, batch: readonly (Asked & Routed)[]) => Promise<OwnerAnswer>,
  ): Promise<void> {
    const messages = asked.flatMap((each) =>
      REGIONS.map((region) => ({ ...each, region, ...this.#router.ownerOf(each.key, region) })),
    );
    requireAnswered(await dispatch(this.#router, messages, ask));
  }
}

function requireAnswered(ended: readonly Dispatched<unknown, OwnerAnswer>[]): void {
  const isMoving = ended.some(({ answer, index }) => !answer?.verdicts[index]);
  if (isMoving) throw new CallError("moved", "keys have moved again and again");
}
