/**
 * An isolate's way to the owners of cached values: it keeps a small copy of what it has just read,
 * and computes for itself where an owner does not answer.
 */
import { logSeldom } from "../log.ts";
import { Breaker } from "../protocol/breaker.ts";
import { DeadlineError, withDeadline } from "../protocol/deadline.ts";
import type { Stub } from "../protocol/rpc.ts";
import type { Runtime } from "../runtime.ts";
import { LEASE_MS } from "./cache-owner.ts";
import type { CacheRpc, Held } from "./rpc.ts";
import type { CacheStore, Computed, Found } from "./value.ts";
import { Values } from "./values.ts";

/** How long a purge may go unnoticed in an isolate that has a copy. */
const MAX_COPY_MS = 1_000;
const MAX_COPY_BYTES = 4_000_000;
/** All owners of all regions are asked, some of them far away or asleep. */
const PURGE_DEADLINE_MS = 5_000;

/** The owner of a key, and what the key is called there. */
export interface Place {
  owner: string;
  /**
   * Contains the ring's version, so that a changed ring finds no old values. Otherwise a ring that is
   * restored would serve values that were purged in the meantime.
   */
  name: string;
}

/** What was so when an owner was asked. Its answer is copied only if the first two still hold. */
interface AskedWhen {
  /** As counted in this isolate. */
  purges: number;
  /** The ring's version. */
  ring: number;
  atMs: number;
}

export interface CacheClientOptions {
  runtime: Runtime;
  /** How long to wait for an owner's answer. */
  deadlineMs: number;
  stubOf(owner: string): Stub<CacheRpc>;
  /** Returns what to wait for until the region's ring is known; undefined if it is. */
  ready(): Promise<unknown> | undefined;
  /** Returns the version of the region's ring. */
  ringVersion(): number;
  placeOf(key: string): Place;
  /** Returns where each region keeps the key, by rings that are asked for anew. */
  allPlacesOf(key: string): Promise<Place[]>;
  /** Returns the owners of all regions, by rings that are asked for anew. */
  allOwners(): Promise<string[]>;
}

export class CacheClient implements CacheStore {
  readonly #options: CacheClientOptions;
  readonly #breaker = new Breaker();
  readonly #copies = new Values(MAX_COPY_BYTES);
  /** The version of the ring that the copies are from. */
  #ring = 0;
  /** An answer that was on its way during a purge may be older: it is not copied. */
  #purges = 0;

  constructor(options: CacheClientOptions) {
    this.#options = options;
  }

  copyOf(key: string): Found | undefined {
    const ring = this.#options.ringVersion();
    if (ring !== this.#ring) {
      this.#copies.clear();
      this.#ring = ring;
    }
    const copy = this.#copies.get(key, this.#options.runtime.now());
    return copy && { ...pick(copy), source: "copy" };
  }

  async find(key: string): Promise<Found | undefined> {
    const copy = this.copyOf(key);
    if (copy) return copy;
    const ready = this.#options.ready();
    if (ready) await ready;
    const { owner, name } = this.#options.placeOf(key);
    const asked = this.#asked;
    const held = await this.#call(owner, (stub) => stub.find(name));
    return held && this.#found(key, held, "owner", asked);
  }

  async lookUp(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan = 0,
  ): Promise<Found | undefined> {
    const copy = this.copyOf(key);
    if (copy && copy.version > newerThan) return copy;
    let isComputing = false;
    const computeOnce = () => {
      isComputing = true;
      return compute();
    };
    try {
      const ready = this.#options.ready();
      if (ready) await ready;
      return await this.#fromOwner(key, computeOnce, newerThan);
    } catch (error) {
      // The caller gets what its own computation throws.
      if (isComputing) throw error;
      const computed = await compute();
      return computed && { value: computed.value, ageMs: 0, version: 0, source: "computed" };
    }
  }

  /** Rejects if the owner fails, or takes too long. */
  async #fromOwner(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan: number,
  ): Promise<Found | undefined> {
    const { deadlineMs, runtime, placeOf } = this.#options;
    const place = placeOf(key);
    const { owner, name } = place;
    // A key may be purged again and again while it is computed.
    const untilMs = runtime.now() + LEASE_MS;
    for (let leftMs = LEASE_MS; leftMs > 0; leftMs = untilMs - runtime.now()) {
      const asked = this.#asked;
      const first = await this.#call(owner, (stub) => stub.lookUp(name, newerThan));
      if (first.kind === "held") return this.#found(key, first.held, "owner", asked);
      if (first.kind === "lease") return this.#compute(key, place, first.fence, compute);
      const wait = (stub: Stub<CacheRpc>) => stub.wait(name, newerThan);
      const waited = await this.#call(owner, wait, leftMs + deadlineMs);
      if (waited.kind === "held") return this.#found(key, waited.held, "computed", asked);
      if (waited.kind === "nothing") return undefined;
    }
    return undefined;
  }

  async #compute(
    key: string,
    { owner, name }: Place,
    fence: number,
    compute: () => Promise<Computed | undefined>,
  ): Promise<Found | undefined> {
    let computed: Computed | undefined;
    let isKept = false;
    const asked = this.#asked;
    try {
      computed = await compute();
    } finally {
      // The caller gets its value even if the owner does not take it.
      const giving = this.#call(owner, (stub) => stub.put(name, fence, computed));
      isKept = await giving.catch(() => false);
    }
    if (!computed) return undefined;
    const held = { value: computed.value, ageMs: 0, leftMs: computed.ttlMs, version: fence };
    return isKept
      ? this.#found(key, held, "computed", asked)
      : { ...pick(held), source: "computed" };
  }

  /** Forgets a key in this region. Other regions forget it a little later. */
  async purge(key: string): Promise<void> {
    const { placeOf, allPlacesOf, deadlineMs, runtime } = this.#options;
    const ready = this.#options.ready();
    if (ready) await ready;
    const own = placeOf(key);
    const others = allPlacesOf(key).then((places) =>
      this.#purgeAt(places.filter(({ owner, name }) => owner !== own.owner || name !== own.name)),
    );
    runtime.keepAlive(
      others.catch((error) => logSeldom("warn", "purge-failed", "", { detail: String(error) })),
    );
    await this.#forget(deadlineMs, this.#purgeAt([own]), () => this.#copies.delete(key));
  }

  /** Forgets a key in all regions. Rejects if an owner can't be reached. */
  purgeEverywhere(key: string): Promise<void> {
    const purges = this.#options.allPlacesOf(key).then((places) => this.#purgeAt(places));
    return this.#forget(PURGE_DEADLINE_MS, purges, () => this.#copies.delete(key));
  }

  /** Forgets all values with a tag, in all regions. Rejects if an owner can't be reached. */
  purgeTag(tag: string): Promise<void> {
    const { allOwners, stubOf } = this.#options;
    const purges = allOwners().then((owners) =>
      Promise.all(owners.map((owner) => stubOf(owner).purgeTag(tag))),
    );
    // A copy does not know its tags.
    return this.#forget(PURGE_DEADLINE_MS, purges, () => this.#copies.clear());
  }

  async #purgeAt(places: readonly Place[]): Promise<void> {
    const { stubOf } = this.#options;
    await Promise.all(places.map(({ owner, name }) => stubOf(owner).purge(name)));
  }

  async #forget(
    deadlineMs: number,
    purges: Promise<unknown>,
    dropCopies: () => void,
  ): Promise<void> {
    try {
      await withDeadline(deadlineMs, purges, this.#options.runtime);
    } finally {
      this.#purges++;
      dropCopies();
    }
  }

  get #asked(): AskedWhen {
    const { ringVersion, runtime } = this.#options;
    return { purges: this.#purges, ring: ringVersion(), atMs: runtime.now() };
  }

  /** Keeps a copy, unless there was a purge meanwhile. Its age includes the time of the call. */
  #found(
    key: string,
    held: Held,
    source: Found["source"],
    { purges, ring, atMs }: AskedWhen,
  ): Found {
    if (purges === this.#purges && ring === this.#options.ringVersion()) {
      const { value, ageMs, leftMs, version } = held;
      const ttlMs = ageMs + Math.min(leftMs, MAX_COPY_MS);
      this.#copies.set(key, version, { value, ttlMs, tags: [] }, atMs - ageMs);
    }
    return { ...pick(held), source };
  }

  /**
   * Calls an owner, and rejects if it takes too long. One that was late several times is skipped for a
   * while; one that fails at once keeps nobody waiting.
   */
  async #call<Reply>(
    owner: string,
    call: (stub: Stub<CacheRpc>) => Promise<Reply>,
    deadlineMs = this.#options.deadlineMs,
  ): Promise<Reply> {
    const { runtime, stubOf } = this.#options;
    if (!this.#breaker.admits(owner, runtime.now())) throw new Error(`${owner} is skipped`);
    try {
      const reply = await withDeadline(deadlineMs, call(stubOf(owner)), runtime);
      this.#breaker.succeeded(owner);
      return reply;
    } catch (error) {
      if (error instanceof DeadlineError) this.#breaker.failed(owner, runtime.now(), true);
      logSeldom("warn", "owner-failed", `cache ${owner}`, { owner, detail: String(error) });
      throw error;
    }
  }
}

function pick({ value, ageMs, version }: Omit<Found, "source">) {
  return { value, ageMs, version };
}
