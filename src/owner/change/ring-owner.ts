/**
 * An owner as a part of a ring: counts its own keys, and says of others that they have moved. All
 * that the owner's object offers is here, and the simulation runs it.
 *
 * While a change is under way, checks of a key wait here, in order, for its counters from the
 * previous owner. In a settled ring, a batch costs one comparison more. Without a
 * membership object the ring never changes.
 */

import type { Check, CounterPolicy } from "../../counters/check.ts";
import {
  contradicts,
  isOwnerName,
  type RingRecord,
  regionOfOwner,
} from "../../protocol/ring-record.ts";
import type {
  ExplainedBatch,
  ExportChunk,
  ImportProgress,
  OrMoved,
  OwnerRpc,
  Released,
  RingRpc,
  Rows,
  Stub,
} from "../../protocol/rpc.ts";
import { type Batch, decodeBatch, type WireBatch } from "../../protocol/wire.ts";
import { type Answer, encodeAnswer, type WireAnswer } from "../../protocol/wire-answer.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import type { Runtime } from "../../runtime.ts";
import { isBusy, LoadMeter } from "../load-meter.ts";
import { Owner, type OwnerOptions } from "../owner.ts";
import type { OwnerStorage } from "../stored-counters.ts";
import { Exporter } from "./export.ts";
import { Importer, type Peer } from "./import.ts";
import { RingView } from "./ring-view.ts";

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
  /** As in {@link OwnerOptions}. */
  checkOnce?: OwnerOptions["checkOnce"];
  onEvicted?: OwnerOptions["onEvicted"];
  /** Makes the owner; the simulation makes one that it watches. */
  newOwner?: (options: OwnerOptions) => Owner;
}

type Verb = "check" | "peek" | "refund" | "reset";

/** What an owner needs while its ring changes. */
interface Change {
  view: RingView;
  exporter: Exporter;
  importer: Importer;
}

/** The least time between two reports of a high load. */
const REPORT_INTERVAL_MS = 5_000;

export class RingOwner implements OwnerRpc {
  readonly #options: RingOwnerOptions;
  readonly #owner: Owner;
  /** Absent if the ring never changes. */
  readonly #change: Change | undefined;
  readonly #meter = new LoadMeter();
  #reportedMs = 0;

  constructor(options: RingOwnerOptions) {
    const { name, runtime, storage, ownerStub, membershipStub, deadlineMs } = options;
    const { newOwner = (each) => new Owner(each), checkOnce, onEvicted } = options;
    this.#options = options;
    const onCleared = () => this.onCleared();
    const owner = newOwner({ runtime, storage, onCleared, checkOnce, onEvicted });
    this.#owner = owner;
    if (!membershipStub || !isOwnerName(name)) return;
    const exporter = new Exporter(owner);
    const askRing = () => membershipStub(regionOfOwner(name)).ring();
    const view = new RingView({ name, owner, exporter, storage, runtime, askRing });
    // A caller waits for this owner, and meanwhile this owner for another.
    const releaseDeadlineMs = deadlineMs / 2;
    const importer = new Importer({ view, owner, name, ownerStub, releaseDeadlineMs, runtime });
    this.#change = { view, exporter, importer };
  }

  /** Reads what is on disk. Await this before calling anything else. */
  async load(): Promise<void> {
    await this.#owner.load();
    await this.#change?.view.load();
  }

  check(batch: WireBatch) {
    return this.#answer("check", batch);
  }

  peek(batch: WireBatch) {
    return this.#answer("peek", batch);
  }

  refund(batch: WireBatch) {
    return this.#answer("refund", batch);
  }

  reset(batch: WireBatch) {
    return this.#answer("reset", batch);
  }

  block(version: number, key: KeyHash, durationMs: number): Promise<OrMoved<void>> {
    return this.#operate(version, key, () => this.#owner.block(key, durationMs));
  }

  unblock(version: number, key: KeyHash): Promise<OrMoved<void>> {
    return this.#operate(version, key, () => this.#owner.unblock(key));
  }

  override(
    version: number,
    key: KeyHash,
    policy: CounterPolicy,
    limit: number | null,
    durationMs: number,
  ): Promise<OrMoved<void>> {
    return this.#operate(version, key, () => this.#owner.override(key, policy, limit, durationMs));
  }

  async explain(batch: WireBatch): Promise<ExplainedBatch> {
    const { version, checks } = decodeBatch(batch);
    if (this.#change) await settleKeys(this.#change, version, checks);
    const view = this.#change?.view;
    const ringVersion = view?.ring.version ?? 1;
    const explained = checks.map((check) => {
      const isOwn = view?.owns(check.key) ?? true;
      return isOwn ? { ringVersion, ...this.#owner.explain(check) } : undefined;
    });
    return { explained, ring: version === ringVersion ? undefined : view?.record };
  }

  release(version: number, keys: readonly KeyHash[]): Promise<Released<Rows>> {
    return this.#release(version, ({ exporter }) => ({ rows: exporter.exportKeys(keys) }));
  }

  releaseSome(version: number, to: string, cursor: number): Promise<Released<ExportChunk>> {
    return this.#release(version, ({ exporter, view: { ring } }) =>
      exporter.exportChunk(to, cursor, (key) => ring.ownerOf(key) === to),
    );
  }

  /** See `OwnerRpc.adopt`. */
  async adopt(record: unknown): Promise<RingRecord | undefined> {
    await this.#change?.view.adopt(record);
    const known = this.ring;
    return known && contradicts(known, record as RingRecord) ? known : undefined;
  }

  async takeOver(version: number): Promise<ImportProgress> {
    return (await this.#change?.importer.importAll(version)) ?? { isDone: true, silent: [] };
  }

  status() {
    const { keys, fill } = this.#owner;
    return { keys, fill, checksPerSecond: this.#meter.rate(this.#owner.now()) };
  }

  wake(): Promise<void> {
    return this.#owner.wake();
  }

  protected get ring(): RingRecord | undefined {
    return this.#change?.view.record;
  }

  /** The ring stays on disk, so that the object knows it when the next key comes. */
  protected onCleared(): void {
    this.#change?.view.rewriteRecord();
  }

  /**
   * Answers in the wire version that it was asked in, once what must not be lost is on disk.
   * Rejects if that can't be written.
   */
  #answer(verb: Verb, batch: WireBatch): WireAnswer | Promise<WireAnswer> {
    const { wireVersion = 1 } = batch;
    const send = (answer: Answer): WireAnswer | Promise<WireAnswer> => {
      const written = verb === "peek" ? undefined : this.#owner.written;
      if (written) return written.then(() => encodeAnswer(answer, wireVersion));
      return encodeAnswer(answer, wireVersion);
    };
    const answer = this.#serve(verb, decodeBatch(batch));
    return answer instanceof Promise ? answer.then(send) : send(answer);
  }

  #serve(verb: Verb, batch: Batch): Answer | Promise<Answer> {
    const { version, checks } = batch;
    this.#measure(checks.length);
    const change = this.#change;
    if (!change || change.view.isSettledAt(version)) return this.#owner[verb](checks);
    return this.#serveInChange(change, verb, batch);
  }

  async #serveInChange(change: Change, verb: Verb, { version, checks }: Batch): Promise<Answer> {
    const { view } = change;
    do await settleKeys(change, version, checks);
    while (isMissing(change, checks));
    // No `await` from here on: whose a key is, and what is counted for it, must go together.
    const own = checks.filter(({ key }) => view.owns(key));
    const { verdicts, inexact, ended, was, ...answer } = this.#owner[verb](own);
    let next = 0;
    const places = checks.map((check) => (own[next] === check ? next++ : -1));
    const inPlace = <Each>(all: readonly Each[]) => places.map((place) => all[place]);
    return {
      ...answer,
      verdicts: inPlace(verdicts),
      ...(inexact && { inexact: inPlace(inexact) }),
      ...(ended && { ended: inPlace(ended) }),
      ...(was && { was: inPlace(was) }),
      ...(version !== view.ring.version && { ring: view.record }),
    };
  }

  async #operate(version: number, key: KeyHash, act: () => void): Promise<OrMoved<void>> {
    const change = this.#change;
    if (change) {
      do await settleKeys(change, version, [{ key }]);
      while (isMissing(change, [{ key }]));
      if (!change.view.owns(key)) return { moved: change.view.record as RingRecord };
    }
    act();
    await this.#owner.written;
    return { reply: undefined };
  }

  async #release<What>(version: number, give: (change: Change) => What): Promise<Released<What>> {
    const change = this.#change as Change;
    const { view } = change;
    if (!(await view.catchUp(version))) throw new Error(`no ring has the version ${version}`);
    // In a settled ring the rows are gone. The other owner must first write that ring to disk. An
    // object that another has replaced cannot, so it ends there and does not count its keys anew.
    const isUnderWay = view.ring.version === version && view.previous;
    if (!isUnderWay) return { moved: view.record as RingRecord };
    const { diskLosses: losses } = this.#owner;
    return { version, atMs: this.#owner.now(), what: give(change), ...(losses && { losses }) };
  }

  /** Counts checks, and now and then reports a high load to the membership object. */
  #measure(checks: number): void {
    const nowMs = this.#owner.now();
    if (!this.#meter.add(checks, nowMs)) return;
    const { membershipStub, name, highWater } = this.#options;
    const rate = this.#meter.rate(nowMs);
    if (!membershipStub || !this.#change || !isBusy(rate, highWater)) return;
    if (nowMs - this.#reportedMs < REPORT_INTERVAL_MS) return;
    this.#reportedMs = nowMs;
    // The next report makes up for a lost one.
    membershipStub(regionOfOwner(name))
      .reportLoad(name, rate)
      .catch(() => {});
  }
}

/** Returns true if a ring that came after `settleKeys` leaves some of the keys elsewhere. */
function isMissing({ view }: Change, checks: readonly Pick<Check, "key">[]): boolean {
  return checks.some(({ key }) => view.owns(key) && view.previousHolderOf(key) !== undefined);
}

/**
 * Waits until the owner knows that version, and has the counters of those keys that are its own.
 */
async function settleKeys(
  { view, importer }: Change,
  version: number,
  checks: readonly Pick<Check, "key">[],
): Promise<void> {
  await view.catchUp(version);
  await importer.ensureHere(checks.map(({ key }) => key));
}
