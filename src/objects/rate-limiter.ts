/**
 * The Durable Object around an owner: native RPC in; storage, timer and calls to others out. It
 * decides nothing.
 *
 * Each method calls the method of `RingOwner` with the same name. Everything else is `#private`:
 * TypeScript's `private` can still be called over RPC.
 */
import { DurableObject } from "cloudflare:workers";
import { parseLimiterConfig } from "../limiter-config.ts";
import { type MembershipLink, RingOwner } from "../owner/change/ring-owner.ts";
import type { Peer } from "../owner/change/takeover.ts";
import { Owner } from "../owner/owner.ts";
import type { Bindings } from "../protocol/bindings.ts";
import { isOwnerName, type RingRecord, regionOf } from "../protocol/ring-record.ts";
import {
  type ExplainedBatch,
  type OrMoved,
  type OwnerLoad,
  type OwnerRpc,
  type Parcel,
  type Released,
  type Rows,
  stubOf,
  type TakenOver,
} from "../protocol/rpc.ts";
import {
  type Answer,
  decodeBatch,
  encodeAnswer,
  type WireAnswer,
  type WireBatch,
} from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { runtimeWith } from "../runtime.ts";

export class RateLimiter extends DurableObject implements OwnerRpc {
  readonly #owner: Owner;
  readonly #ringOwner: RingOwner;
  readonly #bindings: Bindings;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#bindings = env as unknown as Bindings;
    const { deadlineMs, highWater } = parseLimiterConfig(env);
    const name = ctx.id.name ?? "";
    const runtime = runtimeWith((task) => ctx.waitUntil(task));
    this.#owner = new Owner({
      runtime,
      storage: ctx.storage,
      onCleared: () => this.#ringOwner.cleared(),
    });
    this.#ringOwner = new RingOwner({
      name,
      owner: this.#owner,
      storage: ctx.storage,
      peer: (other) => this.#peer(other),
      membership: isOwnerName(name) ? this.#membership(regionOf(name)) : undefined,
      releaseDeadlineMs: deadlineMs / 2,
      highWater,
      runtime,
    });
    ctx.blockConcurrencyWhile(() => this.#ringOwner.load());
  }

  check(batch: WireBatch): WireAnswer | Promise<WireAnswer> {
    return this.#onceWritten(this.#ringOwner.check(decodeBatch(batch)));
  }

  async peek(batch: WireBatch): Promise<WireAnswer> {
    return encodeAnswer(await this.#ringOwner.peek(decodeBatch(batch)));
  }

  async refund(batch: WireBatch): Promise<WireAnswer> {
    return this.#onceWritten(await this.#ringOwner.refund(decodeBatch(batch)));
  }

  async reset(batch: WireBatch): Promise<WireAnswer> {
    return this.#onceWritten(await this.#ringOwner.reset(decodeBatch(batch)));
  }

  block(version: number, key: KeyHash, durationMs: number): Promise<OrMoved<void>> {
    return this.#operated(this.#ringOwner.block(version, key, durationMs));
  }

  unblock(version: number, key: KeyHash): Promise<OrMoved<void>> {
    return this.#operated(this.#ringOwner.unblock(version, key));
  }

  explain(batch: WireBatch): Promise<ExplainedBatch> {
    return this.#ringOwner.explain(decodeBatch(batch));
  }

  release(version: number, keys: KeyHash[]): Promise<Released<Rows>> {
    return this.#ringOwner.release(version, keys);
  }

  releaseSome(version: number, to: string, from: number): Promise<Released<Parcel>> {
    return this.#ringOwner.releaseSome(version, to, from);
  }

  adopt(record: RingRecord): Promise<void> {
    return this.#ringOwner.adopt(record);
  }

  takeOver(version: number): Promise<TakenOver> {
    return this.#ringOwner.takeOver(version);
  }

  status(): OwnerLoad {
    return this.#ringOwner.status();
  }

  override async alarm(): Promise<void> {
    await this.#ringOwner.wake();
  }

  /** Returns the answer once what must not be lost is on disk; rejects if that can't be written. */
  #onceWritten(answer: Answer | Promise<Answer>): WireAnswer | Promise<WireAnswer> {
    if (answer instanceof Promise) return answer.then((given) => this.#onceWritten(given));
    return this.#owner.written?.then(() => encodeAnswer(answer)) ?? encodeAnswer(answer);
  }

  async #operated(operating: Promise<OrMoved<void>>): Promise<OrMoved<void>> {
    const operated = await operating;
    await this.#owner.written;
    return operated;
  }

  #peer(name: string): Peer {
    return stubOf(this.#bindings.TURNPIKE_OWNERS, name);
  }

  #membership(region: string): MembershipLink | undefined {
    const { TURNPIKE_MEMBERSHIP } = this.#bindings;
    if (!TURNPIKE_MEMBERSHIP) return undefined;
    const stub = () => stubOf(TURNPIKE_MEMBERSHIP, region);
    return {
      ring: () => stub().ring(),
      reportLoad: (owner, checksPerSecond) => stub().reportLoad(owner, checksPerSecond),
    };
  }
}
