/**
 * An owner as a part of a ring: counts its own keys, and says of all others that they have moved.
 *
 * While a change settles, checks of a key wait here, in order, until its counters have come from
 * the previous owner. In a settled ring, all of this is one comparison for each batch. Without a
 * membership object the ring never changes.
 */

import type { Check, Refund } from "../../counters/check.ts";
import { isOwnerName, type RingRecord, regionOfOwner } from "../../protocol/ring-record.ts";
import type {
  ExplainedBatch,
  OrMoved,
  OwnerLoad,
  OwnerRpc,
  Parcel,
  Released,
  RingRpc,
  Rows,
  Stub,
  TakenOver,
} from "../../protocol/rpc.ts";
import {
  type Answer,
  type Batch,
  decodeBatch,
  encodeAnswer,
  type WireAnswer,
  type WireBatch,
} from "../../protocol/wire.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import type { Runtime } from "../../runtime.ts";
import { isBusy, LoadMeter } from "../load-meter.ts";
import { Owner, type OwnerOptions, type OwnerStorage } from "../owner.ts";
import { RingView } from "./ring-view.ts";
import { type Peer, Takeover } from "./takeover.ts";

export interface RingOwnerOptions {
  /** The object's name. Only an owner's, such as `weur/3`, is part of a ring. */
  name: string;
  runtime: Runtime;
  storage: OwnerStorage & Pick<DurableObjectStorage, "get" | "put">;
  /** Returns a new stub for another owner. */
  ownerStub: (name: string) => Peer;
  /** Returns a new stub for a region's membership object; absent if the rings never change. */
  membershipStub: ((region: string) => Pick<Stub<RingRpc>, "ring" | "reportLoad">) | undefined;
  /** How long callers wait for this owner, ms. Another owner has half of it to release a key. */
  deadlineMs: number;
  /** Checks a second above which more owners join; 0 if they never do. */
  highWater: number;
  /** Makes the owner; the simulation makes one that it watches. */
  newOwner?: (options: OwnerOptions) => Owner;
}

type Decide = (checks: readonly Refund[]) => Answer;

/** From one report of a high load to the next. */
const REPORT_INTERVAL_MS = 5_000;

export class RingOwner implements OwnerRpc {
  readonly #options: RingOwnerOptions;
  readonly #owner: Owner;
  readonly #view: RingView | undefined;
  readonly #takeover: Takeover | undefined;
  readonly #meter = new LoadMeter();
  #reportedMs = 0;

  constructor(options: RingOwnerOptions) {
    const { name, runtime, storage, ownerStub: peer, membershipStub } = options;
    const { deadlineMs, newOwner = (each) => new Owner(each) } = options;
    this.#options = options;
    // The ring stays on disk, so that the object knows it when the next key comes.
    const owner = newOwner({ runtime, storage, onCleared: () => this.#view?.keep() });
    this.#owner = owner;
    if (!membershipStub || !isOwnerName(name)) return;
    const askRing = () => membershipStub(regionOfOwner(name)).ring();
    const view = new RingView({ name, owner, storage, runtime, askRing });
    this.#view = view;
    // Callers wait for both calls.
    const releaseDeadlineMs = deadlineMs / 2;
    this.#takeover = new Takeover({ name, owner, peer, runtime, releaseDeadlineMs, view });
  }

  /** Reads what is on disk. To be awaited before anything else is called. */
  async load(): Promise<void> {
    await this.#owner.load();
    await this.#view?.load();
  }

  check(batch: WireBatch): WireAnswer | Promise<WireAnswer> {
    const answer = this.#serve(decodeBatch(batch), (checks) => this.#owner.check(checks));
    return this.#onceWritten(answer, batch);
  }

  async peek(batch: WireBatch): Promise<WireAnswer> {
    const answer = this.#serve(decodeBatch(batch), (checks) => this.#owner.peek(checks));
    return encodeAnswer(await answer, batch.wireVersion ?? 1);
  }

  async refund(batch: WireBatch): Promise<WireAnswer> {
    const answer = this.#serve(decodeBatch(batch), (checks) => this.#owner.refund(checks));
    return this.#onceWritten(answer, batch);
  }

  async reset(batch: WireBatch): Promise<WireAnswer> {
    const answer = this.#serve(decodeBatch(batch), (checks) => this.#owner.reset(checks));
    return this.#onceWritten(answer, batch);
  }

  block(version: number, key: KeyHash, durationMs: number): Promise<OrMoved<void>> {
    return this.#operate(version, key, () => this.#owner.block(key, durationMs));
  }

  unblock(version: number, key: KeyHash): Promise<OrMoved<void>> {
    return this.#operate(version, key, () => this.#owner.unblock(key));
  }

  async explain(batch: WireBatch): Promise<ExplainedBatch> {
    const { version, checks } = decodeBatch(batch);
    const view = this.#view;
    if (view) await this.#import(view, version, checks);
    const ringVersion = view?.ring.version ?? 1;
    const explained = checks.map((check) => {
      const isMine = view?.isMine(check.key) ?? true;
      return isMine ? { ringVersion, ...this.#owner.explain(check) } : undefined;
    });
    return { explained, ring: version === ringVersion ? undefined : view?.record };
  }

  /** Returns the counters of keys that have moved, which this owner no longer counts. */
  release(version: number, keys: readonly KeyHash[]): Promise<Released<Rows>> {
    return this.#release(version, (nowMs) => ({ rows: this.#owner.handover.give(keys, nowMs) }));
  }

  /** Returns the counters of all keys that are `to`'s now, a parcel at a time. */
  releaseSome(version: number, to: string, from: number): Promise<Released<Parcel>> {
    return this.#release(version, (nowMs, { ring }) =>
      this.#owner.handover.giveSome(to, from, (key) => ring.ownerOf(key) === to, nowMs),
    );
  }

  /**
   * Adopts a ring, unless it says nothing new.
   *
   * @throws {Error} if it can't be a ring of this region
   */
  async adopt(record: unknown): Promise<void> {
    await this.#view?.adopt(record);
  }

  /** Takes over all that is this owner's in a ring; see `OwnerRpc`. */
  async takeOver(version: number): Promise<TakenOver> {
    return (await this.#takeover?.takeAll(version)) ?? { isDone: true, silent: [] };
  }

  status(): OwnerLoad {
    return { keys: this.#owner.keys, checksPerSecond: this.#meter.rate(this.#owner.now()) };
  }

  /** To be called when the alarm goes off. */
  wake(): Promise<void> {
    return this.#owner.saver.wake();
  }

  /**
   * Returns the answer, in the form that it was asked in, once what must not be lost is on disk.
   * Rejects if that can't be written.
   */
  #onceWritten(
    answer: Answer | Promise<Answer>,
    batch: WireBatch,
  ): WireAnswer | Promise<WireAnswer> {
    if (answer instanceof Promise) return answer.then((given) => this.#onceWritten(given, batch));
    const { wireVersion = 1 } = batch;
    const { written } = this.#owner;
    if (written) return written.then(() => encodeAnswer(answer, wireVersion));
    return encodeAnswer(answer, wireVersion);
  }

  #serve(batch: Batch, decide: Decide): Answer | Promise<Answer> {
    const { version, checks } = batch;
    this.#measure(checks.length);
    const view = this.#view;
    if (!view || view.isPlain(version)) return decide(checks);
    return this.#serveInChange(view, batch, decide);
  }

  async #serveInChange(
    view: RingView,
    { version, checks }: Batch,
    decide: Decide,
  ): Promise<Answer> {
    await this.#import(view, version, checks);
    const isMine = ({ key }: Check) => view.isMine(key);
    // No `await` from here on: whose a key is, and what is counted for it, must go together.
    const { verdicts, ended, ...decided } = decide(checks.filter(isMine));
    const each = verdicts.values();
    const answer: Answer = {
      ...decided,
      verdicts: checks.map((check) => (isMine(check) ? each.next().value : undefined)),
    };
    const ends = ended && Array.from(verdicts.keys(), (at) => ended[at] ?? false).values();
    if (ends) answer.ended = checks.map((check) => isMine(check) && ends.next().value === true);
    const inexact = checks.map(({ key, policies }) => !view.isExact(key, policies, decided.atMs));
    if (inexact.includes(true)) answer.inexact = inexact;
    if (version !== view.ring.version) answer.ring = view.record;
    return answer;
  }

  async #operate(version: number, key: KeyHash, act: () => void): Promise<OrMoved<void>> {
    const view = this.#view;
    if (view) await this.#import(view, version, [{ key }]);
    if (view && !view.isMine(key)) return { moved: view.record as RingRecord };
    act();
    await this.#owner.written;
    return { reply: undefined };
  }

  /** Waits until the counters of those keys that are this owner's are here. */
  async #import(
    view: RingView,
    version: number,
    checks: readonly Pick<Check, "key">[],
  ): Promise<void> {
    await view.catchUp(version);
    const missing = () =>
      checks.flatMap(({ key }) => (view.isMine(key) && view.heldBy(key) ? [key] : []));
    // In a loop: the ring may change while keys are fetched.
    for (let keys = missing(); keys.length > 0; keys = missing()) await this.#takeover?.take(keys);
  }

  async #release<What>(
    version: number,
    give: (nowMs: number, view: RingView) => What,
  ): Promise<Released<What>> {
    const view = this.#view as RingView;
    if (!(await view.catchUp(version))) throw new Error(`no ring has the version ${version}`);
    if (view.ring.version !== version) return { moved: view.record as RingRecord };
    const atMs = this.#owner.now();
    return { version, atMs, what: give(atMs, view) };
  }

  /** Counts checks, and now and then reports a high load to the membership object. */
  #measure(checks: number): void {
    const nowMs = this.#owner.now();
    if (!this.#meter.add(checks, nowMs)) return;
    const { membershipStub, name, highWater } = this.#options;
    const rate = this.#meter.rate(nowMs);
    if (!membershipStub || !this.#view || !isBusy(rate, highWater)) return;
    if (nowMs - this.#reportedMs < REPORT_INTERVAL_MS) return;
    this.#reportedMs = nowMs;
    // A report that gets lost is made up for by the next one.
    membershipStub(regionOfOwner(name))
      .reportLoad(name, rate)
      .catch(() => {});
  }
}
