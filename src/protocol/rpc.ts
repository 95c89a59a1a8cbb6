/**
 * What isolates, owners and membership objects say to each other: the methods of the two Durable
 * Object classes, and the ring protocol on one page.
 *
 * The ring. Each region has a ring: a version and a list of owners. Rendezvous hashing picks a
 * key's owner from the list. The region's membership object decides on the ring, and makes one
 * change at a time.
 *
 * A check. The caller sends the version it knows. If the owner knows a later ring, it answers for
 * its own keys and sends that ring for the others: they have *moved*. If the owner knows only an
 * earlier ring, it first asks the membership object (`ring`). An isolate that only caches makes no
 * checks, so it asks by itself (`ring-follower.ts`).
 *
 * A change, as from ring 7 to ring 8 when an owner joins or leaves:
 * 1. The membership object writes ring 8 to disk, with ring 7 as `previous`. It sends that to the
 *    owners of both rings (`adopt`). From then on each of them counts only its own keys by ring 8.
 * 2. It has the owners of ring 8 import their keys (`takeOver`). Each asks the owners of ring 7,
 *    chunk by chunk (`releaseSome`). A check of a key that has yet to come waits until that key is
 *    fetched by itself (`release`).
 * 3. It sends ring 8 once more, without `previous`: the change has settled (`adopt`). Each owner
 *    drops the keys of others.
 *
 * Failures. Each step may be repeated. A release only reads, an import skips keys that are here,
 * and a ring that is not newer changes nothing. The change under way is on disk, so after a crash
 * an alarm resumes it. It goes on without an owner that stays silent: ring 9 has that owner in
 * `lost`.
 *
 * If the membership object's storage is lost or restored, owners know rings that it has not made.
 * They return theirs when it sends one (`adopt`), and it goes on from there, at a later version.
 *
 * Invariants:
 * 1. One owner counts a key at a version. It answers only by a ring that it has on disk.
 * 2. Adding an owner moves keys only to it. Removing one moves only its keys.
 * 3. A change forgets nothing: after it, at most `limit − spent` pass in the window.
 * 4. Nothing is counted twice: an owner imports a key once in a change.
 * 5. If a previous owner does not answer in time, the key starts fresh. Its decisions say
 *    `exact: false` for as long as the lost counts could matter.
 *
 * Versions. During a deployment, objects and isolates of two versions call each other. So a method
 * keeps its name and what its arguments mean, even where the code has a better word by now. Methods
 * and fields are only added.
 */
import type { CounterPolicy, Explanation } from "../counters/check.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import type { PoliciesChange, PoliciesDocument } from "./policies-document.ts";
import { type RingRecord, regionOfOwner } from "./ring-record.ts";
import type { WireBatch } from "./wire.ts";
import type { WireAnswer } from "./wire-answer.ts";

/** The methods of an owner that callers use. */
export interface CounterRpc {
  check(batch: WireBatch): WireAnswer | Promise<WireAnswer>;
  peek(batch: WireBatch): WireAnswer | Promise<WireAnswer>;
  refund(batch: WireBatch): WireAnswer | Promise<WireAnswer>;
  reset(batch: WireBatch): WireAnswer | Promise<WireAnswer>;
  block(version: number, key: KeyHash, durationMs: number): Promise<OrMoved<void>>;
  unblock(version: number, key: KeyHash): Promise<OrMoved<void>>;
  /** @param limit infinite if the key is unlimited; null ends the override that it has */
  override(
    version: number,
    key: KeyHash,
    policy: CounterPolicy,
    limit: number | null,
    durationMs: number,
  ): Promise<OrMoved<void>>;
  explain(batch: WireBatch): Promise<ExplainedBatch>;
}

/**
 * All methods of `RateLimiter`, the object of an owner: besides, those that a ring change needs.
 */
export interface OwnerRpc extends CounterRpc {
  /**
   * Exports single keys to their owner at that version of the ring. Answers with the ring if that
   * has settled, or is a later one.
   */
  release(version: number, keys: KeyHash[]): Promise<Released<Rows>>;
  /**
   * Exports all keys that are `to`'s at that version, a chunk at a time.
   *
   * @param cursor 0 at first, then `next` of the previous chunk
   */
  releaseSome(version: number, to: string, cursor: number): Promise<Released<ExportChunk>>;

  /**
   * Gives the owner a ring. Rejects if it can't be one of its region.
   *
   * @returns the owner's own ring, if it contradicts the given one
   */
  adopt(record: RingRecord): Promise<RingRecord | undefined>;
  /** Makes the owner import all its keys at that version, for a few seconds at a time. */
  takeOver(version: number): Promise<ImportProgress>;
  status(): OwnerStatus | Promise<OwnerStatus>;
}

/** The methods of `Membership` that owners and isolates use, about a region's ring. */
export interface RingRpc {
  ring(): Promise<RingRecord>;
  /** Returns null if nobody has asked for the ring yet. */
  ringIfUsed(): Promise<RingRecord | null>;
  reportLoad(owner: string, checksPerSecond: number): Promise<void>;
  reportFailure(owner: string, reporter: string): Promise<void>;
}

/** All methods of the gateway's `Membership`: besides, those that operators use. */
export interface MembershipRpc extends RingRpc {
  /** Returns null if nobody has asked for the ring yet, unless it is wanted. */
  status(isWanted: boolean): Promise<RingStatus | null>;
  /** Begins to add an owner: the one named, or one with the lowest free number. */
  add(name?: string): Promise<Refusal | undefined>;
  remove(name: string): Promise<Refusal | undefined>;

  /**
   * Returns the policies in force if their version is above `known`; else null.
   *
   * @param told the version that owners tell of; absent if the caller has asked no owner
   */
  policies(known: number, told?: number): Promise<PoliciesDocument | null>;
  /**
   * Replaces the policies. Only the home region's object is asked this.
   *
   * @returns the new document, or the version in force if it is not the one to be replaced
   */
  changePolicies(change: PoliciesChange): Promise<PoliciesDocument | number>;
  /** Returns the latest documents, the one in force first. */
  policiesHistory(): Promise<PoliciesDocument[]>;
  /** Gives another region's object the policies. Rejects if the value can't be a document. */
  adoptPolicies(document: PoliciesDocument): Promise<void>;
}

/** What an owner answers an operator, or the ring that says which other owner to ask. */
export type OrMoved<Reply> = { reply: Reply } | { moved: RingRecord };

/** Why an owner decides on keys as it does; undefined for a key that has moved by `ring`. */
export interface ExplainedBatch {
  explained: (Explained | undefined)[];
  ring?: RingRecord | undefined;
}

export interface Explained {
  ringVersion: number;
  /** Milliseconds until a block ends; 0 without a block. */
  blockedMs: number;
  policies: Explanation[];
}

/** What an owner exports, and its clock; or its ring, if that is later than the version asked. */
export type Released<What> =
  | { version: number; atMs: number; what: What; losses?: DiskLosses }
  | { moved: RingRecord };

/** When an owner's counts got lost on its disk, ms since the epoch; 0 if never. */
export interface DiskLosses {
  /** When counts of any policy may have been lost. */
  lostMs: number;
  /** When counts of policies that are not durable may have been lost. */
  crashedMs: number;
}

export interface Rows {
  rows: TableRows[];
}

/** Rows of one table, as `encodeRows` writes them. */
export interface TableRows {
  table: string;
  bytes: Uint8Array<ArrayBuffer>;
}

export interface ExportChunk {
  rows: TableRows[];
  /** The cursor of the next chunk; null after the last one. */
  next: number | null;
}

export interface ImportProgress {
  /** Whether nothing is missing and everything is on disk. */
  isDone: boolean;
  /** The owners that did not export what they hold. */
  silent: string[];
}

export interface OwnerStatus {
  /** Rows that the owner holds, expired ones included. */
  keys: number;
  /** How full it is: 1 if each new row evicts another. An owner of an earlier version does not say. */
  fill?: number;
  checksPerSecond: number;
}

/** A region's ring as an operator sees it. */
export interface RingStatus {
  region: Region;
  version: number;
  /** Whether a change is under way. */
  settling: boolean;
  waitingFor: string[];
  /** Owners out of the ring because they do not answer. */
  down: string[];
  /** `keys` and `checksPerSecond` are null if the owner does not answer. */
  owners: {
    name: string;
    keys: number | null;
    checksPerSecond: number | null;
    /** How long ago it joined. */
    sinceMs: number;
  }[];
}

/** Why a ring change is not made: in words, with what is going on and since when. */
export interface Refusal {
  refused: string;
}

/** An object's methods as its stub has them: each returns a promise. */
export type Stub<Rpc> = {
  [Method in keyof Rpc]: Rpc[Method] extends (...args: infer Args) => infer Reply
    ? (...args: Args) => Promise<Awaited<Reply>>
    : never;
};

/** Where an object is created, and how a call to it is made. */
export interface ObjectOptions {
  /** Only the hint of the first call in an object's life counts. */
  locationHint: Region;
  retry: { maxRetries: number };
}

/** The part of a `DurableObjectNamespace` that is used, by all versions of its types. */
export interface ObjectNamespace<Rpc> {
  getByName(name: string, options: ObjectOptions): Stub<Rpc>;
}

export type CounterNamespace = ObjectNamespace<CounterRpc>;
export type CounterStub = Stub<CounterRpc>;

/**
 * Returns a new stub for an object. A stub belongs to its request, and stays broken after a
 * failure. The platform must not retry its calls, since a check is not idempotent.
 *
 * @param name an owner's or a membership object's; begins with the region that it is created in
 */
export function stubOf<Rpc>(namespace: ObjectNamespace<Rpc>, name: string): Stub<Rpc> {
  const locationHint = regionOfOwner(name) as Region;
  return namespace.getByName(name, { locationHint, retry: { maxRetries: 0 } });
}
