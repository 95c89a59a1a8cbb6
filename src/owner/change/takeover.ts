/**
 * How an owner gets the counters of keys that are its own now: key by key as checks ask for them,
 * and all the rest in the background.
 *
 * May ask again after any failure, since to give is to read. A key whose counters can't be had in
 * time is counted anew, and its decisions are said to be unsure.
 */

import { logSeldom } from "../../log.ts";
import { withDeadline } from "../../protocol/deadline.ts";
import type { OwnerRpc, Parcel, Released, Stub, TakenOver } from "../../protocol/rpc.ts";
import { idOf, type KeyHash } from "../../ring/key-hash.ts";
import type { Runtime } from "../../runtime.ts";
import type { Owner } from "../owner.ts";
import type { RingView } from "./ring-view.ts";

/** The calls that ask another owner for counters, at a version of the ring. */
export type Peer = Pick<Stub<OwnerRpc>, "release" | "releaseSome">;

export interface TakeoverOptions {
  view: RingView;
  owner: Owner;
  name: string;
  peer: (name: string) => Peer;
  /** How long another owner may take to release a key; less than callers wait for this one. */
  releaseDeadlineMs: number;
  runtime: Runtime;
}

/** How long one call takes over before it says how far it has come. */
const TAKE_ALL_MS = 5_000;
/** How long another owner may take to look through its counters for a parcel. */
const PARCEL_DEADLINE_MS = 5_000;

export class Takeover {
  readonly #options: TakeoverOptions;
  /** Takeovers under way, by key. */
  readonly #taking = new Map<string, Promise<void>>();

  constructor(options: TakeoverOptions) {
    this.#options = options;
  }

  /** Takes over these keys. Asks for each once, however many checks wait for it. */
  async take(keys: readonly KeyHash[]): Promise<void> {
    const isNew = (key: KeyHash) => !this.#taking.has(idOf(key));
    const holders = Map.groupBy(keys.filter(isNew), (key) => this.#options.view.heldBy(key));
    for (const [holder, held] of holders) {
      if (holder === undefined) continue;
      const taking = this.#takeFrom(holder, held).finally(() => {
        for (const key of held) this.#taking.delete(idOf(key));
      });
      for (const key of held) this.#taking.set(idOf(key), taking);
    }
    await Promise.all(keys.map((key) => this.#taking.get(idOf(key))));
  }

  /**
   * Takes over all that is this owner's.
   *
   * @returns the owners that did not hand over; `isDone` once nothing is missing and all is on disk
   */
  async takeAll(version: number): Promise<TakenOver> {
    const { view, owner, name } = this.#options;
    await view.catchUp(version);
    const endMs = owner.now() + TAKE_ALL_MS;
    const silent: string[] = [];
    let isDone = true;
    for (const from of view.previous?.owners ?? []) {
      if (from === name || view.isLost(from)) continue;
      try {
        isDone = (await this.#takeAllFrom(from, version, endMs)) && isDone;
      } catch (error) {
        this.#warn(from, error);
        silent.push(from);
      }
    }
    if (silent.length > 0) isDone = false;
    if (isDone) await owner.saver.flush();
    return { isDone: isDone && view.ring.version === version, silent };
  }

  async #takeFrom(from: string, keys: KeyHash[]): Promise<void> {
    const { view, owner, peer, releaseDeadlineMs, runtime } = this.#options;
    const { version } = view.ring;
    const change = view.previous?.version;
    try {
      if (view.isLost(from)) throw new Error("given up");
      const released = await withDeadline(
        releaseDeadlineMs,
        peer(from).release(version, keys),
        runtime,
      );
      const given = await this.#ifStill(version, released);
      if (!given) return;
      owner.handover.take(given.rows, owner.now());
      for (const key of keys) owner.handover.mark(key, owner.now());
    } catch (error) {
      if (view.previous?.version !== change) return;
      if (!view.isLost(from)) this.#warn(from, error);
      for (const key of keys) {
        if (!owner.handover.hasTaken(key)) owner.handover.doubt(key, owner.now());
      }
    }
  }

  /** @returns whether that was all; false if time ran out or the ring has changed */
  async #takeAllFrom(from: string, version: number, endMs: number): Promise<boolean> {
    const { owner, name, peer, runtime } = this.#options;
    for (let next: number | null = 0; next !== null; ) {
      if (owner.now() >= endMs) return false;
      const call: Promise<Released<Parcel>> = peer(from).releaseSome(version, name, next);
      const given = await this.#ifStill(
        version,
        await withDeadline(PARCEL_DEADLINE_MS, call, runtime),
      );
      if (!given) return false;
      owner.handover.take(given.rows, owner.now());
      next = given.next;
    }
    return true;
  }

  /**
   * Returns what was released, if the ring is still the one that it was asked for in.
   *
   * @throws {Error} if it was released for another version
   */
  async #ifStill<What>(version: number, released: Released<What>): Promise<What | undefined> {
    const { view, owner } = this.#options;
    if ("moved" in released) {
      await view.adopt(released.moved);
      return undefined;
    }
    if (released.version !== version) {
      throw new Error(`released for version ${released.version}, not ${version}`);
    }
    if (view.ring.version !== version) return undefined;
    // What was counted by the other's clock must not lie in the future here.
    owner.now(released.atMs);
    return released.what;
  }

  #warn(from: string, error: unknown): void {
    const { name: owner } = this.#options;
    const detail = String(error);
    logSeldom("warn", "release-failed", `${owner} ${from}`, { owner, from, detail });
  }
}
