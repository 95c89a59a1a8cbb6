/**
 * An isolate's way to the owners of cached values: it keeps a small copy of what it has just read,
 * and computes for itself where an owner does not answer.
 */
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
  owner: Stub<CacheRpc>;
  /**
   * Has the ring's version, so that a change of the ring forgets. Else a ring that comes back would
   * bring values back that were purged meanwhile.
   */
  name: string;
}

/** The moment at which an owner was asked. */
interface Asked {
  purges: number;
  atMs: number;
}

interface CacheClientOptions {
  runtime: Runtime;
  /** How long to wait for an owner's answer. */
  deadlineMs: number;
  placeOf(key: string): Place;
  /** Where other regions keep the key. */
  placesElsewhere(key: string): Place[];
  /** The owners of all regions. */
  allOwners(): Stub<CacheRpc>[];
}

export class CacheClient implements CacheStore {
  readonly #options: CacheClientOptions;
  /** By their names at the owner, so that a change of the ring forgets them, too. */
  readonly #copies = new Values(MAX_COPY_BYTES);
  /** An answer that was on its way during a purge may be older: it is not copied. */
  #purges = 0;

  constructor(options: CacheClientOptions) {
    this.#options = options;
  }

  async find(key: string): Promise<Found | undefined> {
    const { placeOf, deadlineMs } = this.#options;
    const place = placeOf(key);
    const { owner, name } = place;
    const copy = this.#copy(place);
    if (copy) return copy;
    const asked = this.#asked;
    const held = await this.#within(deadlineMs, owner.find(name));
    return held && this.#found(name, held, "owner", asked);
  }

  async lookUp(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan = 0,
  ): Promise<Found | undefined> {
    const place = this.#options.placeOf(key);
    const copy = this.#copy(place);
    if (copy && copy.version > newerThan) return copy;
    let isComputing = false;
    const computeOnce = () => {
      isComputing = true;
      return compute();
    };
    try {
      return await this.#fromOwner(place, computeOnce, newerThan);
    } catch (error) {
      // What the computation itself has thrown is for whoever asked.
      if (isComputing) throw error;
      const computed = await compute();
      return computed && { value: computed.value, ageMs: 0, version: 0, source: "computed" };
    }
  }

  /** Rejects if the owner fails, or takes too long. */
  async #fromOwner(
    place: Place,
    compute: () => Promise<Computed | undefined>,
    newerThan: number,
  ): Promise<Found | undefined> {
    const { deadlineMs, runtime } = this.#options;
    const { owner, name } = place;
    // A key may be purged again and again while it is computed.
    const untilMs = runtime.now() + LEASE_MS;
    for (let leftMs = LEASE_MS; leftMs > 0; leftMs = untilMs - runtime.now()) {
      const asked = this.#asked;
      const first = await this.#within(deadlineMs, owner.lookUp(name, newerThan));
      if (first.kind === "held") return this.#found(name, first.held, "owner", asked);
      if (first.kind === "lease") return this.#compute(place, first.fence, compute);
      const waited = await this.#within(leftMs + deadlineMs, owner.wait(name, newerThan));
      if (waited.kind === "held") return this.#found(name, waited.held, "computed", asked);
      if (waited.kind === "nothing") return undefined;
    }
    return undefined;
  }

  async #compute(
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
      // Whoever has computed has the value, whether or not its owner takes it.
      const giving = this.#within(this.#options.deadlineMs, owner.put(name, fence, computed));
      isKept = await giving.catch(() => false);
    }
    if (!computed) return undefined;
    const held = { value: computed.value, ageMs: 0, leftMs: computed.ttlMs, version: fence };
    return isKept
      ? this.#found(name, held, "computed", asked)
      : { ...pick(held), source: "computed" };
  }

  async purge(key: string): Promise<void> {
    const { placeOf, placesElsewhere, deadlineMs, runtime } = this.#options;
    // Other regions forget it a little later.
    runtime.keepAlive(Promise.allSettled(placesElsewhere(key).map(purgeAt)));
    const place = placeOf(key);
    await this.#forget([purgeAt(place)], deadlineMs, () => this.#copies.delete(place.name));
  }

  /** Forgets a key in all regions. Rejects if an owner can't be reached. */
  purgeEverywhere(key: string): Promise<void> {
    const { placeOf, placesElsewhere } = this.#options;
    const place = placeOf(key);
    const purges = [place, ...placesElsewhere(key)].map(purgeAt);
    return this.#forget(purges, PURGE_DEADLINE_MS, () => this.#copies.delete(place.name));
  }

  /** Forgets all values with a tag, at all owners. Rejects if one of them can't be reached. */
  purgeTag(tag: string): Promise<void> {
    const purges = this.#options.allOwners().map((owner) => owner.purgeTag(tag));
    // A copy does not know its tags.
    return this.#forget(purges, PURGE_DEADLINE_MS, () => this.#copies.clear());
  }

  async #forget(
    purges: Promise<void>[],
    deadlineMs: number,
    dropCopies: () => void,
  ): Promise<void> {
    try {
      await this.#within(deadlineMs, Promise.all(purges));
    } finally {
      this.#purges++;
      dropCopies();
    }
  }

  #copy({ name }: Place): Found | undefined {
    const copy = this.#copies.get(name, this.#options.runtime.now());
    return copy && { ...pick(copy), source: "copy" };
  }

  get #asked(): Asked {
    return { purges: this.#purges, atMs: this.#options.runtime.now() };
  }

  /** Keeps a copy, unless there was a purge meanwhile. The way of the answer is part of its age. */
  #found(name: string, held: Held, source: Found["source"], { purges, atMs }: Asked): Found {
    if (purges === this.#purges) {
      const { value, ageMs, leftMs, version } = held;
      const ttlMs = ageMs + Math.min(leftMs, MAX_COPY_MS);
      this.#copies.set(name, version, { value, ttlMs, tags: [] }, atMs - ageMs);
    }
    return { ...pick(held), source };
  }

  async #within<Value>(deadlineMs: number, call: Promise<Value>): Promise<Value> {
    const timer = new AbortController();
    const late = this.#options.runtime.wait(deadlineMs, timer.signal).then(() => {
      throw new Error(`no answer in ${deadlineMs} ms`);
    });
    // The timer's own end is no error, and whoever lost the race may fail unheard.
    late.catch(() => {});
    call.catch(() => {});
    try {
      return await Promise.race([call, late]);
    } finally {
      timer.abort();
    }
  }
}

function purgeAt({ owner, name }: Place): Promise<void> {
  return owner.purge(name);
}

function pick({ value, ageMs, version }: Omit<Found, "source">) {
  return { value, ageMs, version };
}
