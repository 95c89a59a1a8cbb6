/**
 * The new owner's side of a ring change: imports the counters of keys that are its own now. It
 * imports a key when a check asks for it, and the rest in the background.
 *
 * It may ask again after any failure, since an export only reads. A key whose counters do not come
 * in time is counted anew, and its decisions say `exact: false`.
 */

import { decodeRows } from "../../counters/segment.ts";
import { logSeldom } from "../../log.ts";
import { withDeadline } from "../../protocol/deadline.ts";
import type {
  ExportChunk,
  ImportProgress,
  OwnerRpc,
  Released,
  Stub,
  TableRows,
} from "../../protocol/rpc.ts";
import { hashText, type KeyHash } from "../../ring/key-hash.ts";
import type { Runtime } from "../../runtime.ts";
import type { Owner } from "../owner.ts";
import type { RingView } from "./ring-view.ts";

/** The calls that ask another owner for counters, at a version of the ring. */
export type Peer = Pick<Stub<OwnerRpc>, "release" | "releaseSome">;

export interface ImporterOptions {
  view: RingView;
  owner: Owner;
  /** The owner's name. */
  name: string;
  ownerStub: (name: string) => Peer;
  /** How long another owner may take to release a key, ms; less than callers wait for this one. */
  releaseDeadlineMs: number;
  runtime: Runtime;
}

/** How long one call imports before it returns its progress. */
const IMPORT_ALL_MS = 5_000;
/** How long another owner may take to look through its counters for a chunk. */
const CHUNK_DEADLINE_MS = 5_000;

export class Importer {
  readonly #options: ImporterOptions;
  /** Imports under way, by key. */
  readonly #importing = new Map<string, Promise<void>>();

  constructor(options: ImporterOptions) {
    this.#options = options;
  }

  /** Waits until the counters of this owner's keys among these are here. */
  async ensureHere(keys: readonly KeyHash[]): Promise<void> {
    const { view } = this.#options;
    const missing = () => keys.filter((key) => view.owns(key) && view.previousHolderOf(key));
    // In a loop: the ring may change while keys are fetched.
    for (let left = missing(); left.length > 0; left = missing()) await this.#importKeys(left);
  }

  /**
   * Imports all that is this owner's; see `OwnerRpc.takeOver`.
   *
   * @returns the owners that did not release theirs; `isDone` once nothing is missing and
   *   everything is on disk
   */
  async importAll(version: number): Promise<ImportProgress> {
    const { view, owner, name } = this.#options;
    await view.catchUp(version);
    const endMs = owner.now() + IMPORT_ALL_MS;
    const silent: string[] = [];
    let isDone = true;
    for (const from of view.previous?.owners ?? []) {
      if (from === name || view.isGivenUp(from)) continue;
      try {
        isDone = (await this.#importAllFrom(from, version, endMs)) && isDone;
      } catch (error) {
        this.#warn(from, error);
        silent.push(from);
      }
    }
    if (silent.length > 0) isDone = false;
    isDone &&= view.ring.version === version;
    // An owner that has left the ring meanwhile has nothing to keep.
    if (isDone) await owner.flush();
    return { isDone, silent };
  }

  /** Imports these keys. Asks for each once, however many checks wait for it. */
  async #importKeys(keys: readonly KeyHash[]): Promise<void> {
    const isNew = (key: KeyHash) => !this.#importing.has(hashText(key));
    const holders = Map.groupBy(keys.filter(isNew), (key) =>
      this.#options.view.previousHolderOf(key),
    );
    for (const [holder, held] of holders) {
      if (holder === undefined) continue;
      const importing = this.#importFrom(holder, held).finally(() => {
        for (const key of held) this.#importing.delete(hashText(key));
      });
      for (const key of held) this.#importing.set(hashText(key), importing);
    }
    await Promise.all(keys.map((key) => this.#importing.get(hashText(key))));
  }

  async #importFrom(from: string, keys: KeyHash[]): Promise<void> {
    const { view, owner, ownerStub, releaseDeadlineMs, runtime } = this.#options;
    const { version } = view.ring;
    const change = view.previous?.version;
    try {
      if (view.isGivenUp(from)) throw new Error("given up");
      const call = ownerStub(from).release(version, keys);
      const released = await withDeadline(releaseDeadlineMs, call, runtime);
      const given = await this.#ifStill(version, released);
      if (!given) return;
      this.#put(given.rows);
      for (const key of keys) view.markImported(key);
    } catch (error) {
      if (view.previous?.version !== change) return;
      if (!view.isGivenUp(from)) this.#warn(from, error);
      for (const key of keys) {
        if (view.wasImported(key)) continue;
        owner.addInexact(key);
        view.markImported(key);
      }
    }
  }

  /** @returns whether that was all; false if time ran out or the ring has changed */
  async #importAllFrom(from: string, version: number, endMs: number): Promise<boolean> {
    const { owner, name, ownerStub, runtime } = this.#options;
    for (let cursor: number | null = 0; cursor !== null; ) {
      if (owner.now() >= endMs) return false;
      const call: Promise<Released<ExportChunk>> = ownerStub(from).releaseSome(
        version,
        name,
        cursor,
      );
      const released = await withDeadline(CHUNK_DEADLINE_MS, call, runtime);
      const chunk = await this.#ifStill(version, released);
      if (!chunk) return false;
      this.#put(chunk.rows);
      cursor = chunk.next;
    }
    return true;
  }

  /** Puts rows in place, except those of keys that were imported before. */
  #put(tables: readonly TableRows[]): void {
    const { view, owner } = this.#options;
    const imported = new Map<string, KeyHash>();
    for (const { table, bytes } of tables) {
      decodeRows(bytes, (key, state) => {
        if (!state || view.wasImported(key)) return;
        owner.putRow(table, key, state);
        imported.set(hashText(key), key);
      });
    }
    // Marked only now, since a key may have rows in several tables.
    for (const key of imported.values()) view.markImported(key);
  }

  /**
   * Returns what was released; undefined if the ring has changed since it was asked for.
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
    // What the other owner counted by its clock must not lie in the future here.
    owner.follow(released.atMs);
    if (released.losses) owner.addDiskLosses(released.losses);
    return released.what;
  }

  #warn(from: string, error: unknown): void {
    const { name: owner } = this.#options;
    const detail = String(error);
    logSeldom("warn", "release-failed", `${owner} ${from}`, { owner, from, detail });
  }
}
