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
/** How often a key that is looked up may be purged meanwhile. */
const MAX_PURGES = 3;

interface CacheClientOptions {
  runtime: Runtime;
  /** How long to wait for an owner's answer. */
  deadlineMs: number;
  ownerOf(key: string): Stub<CacheRpc>;
  /** All owners that may have a value under the key, or any value. */
  ownersOf(key?: string): Stub<CacheRpc>[];
}

export class CacheClient implements CacheStore {
  readonly #options: CacheClientOptions;
  readonly #copies = new Values(MAX_COPY_BYTES);

  constructor(options: CacheClientOptions) {
    this.#options = options;
  }

  async find(key: string): Promise<Found | undefined> {
    const copy = this.#copy(key);
    if (copy) return copy;
    const { ownerOf, deadlineMs } = this.#options;
    const held = await this.#within(deadlineMs, ownerOf(key).find(key));
    return held && this.#found(key, held, "owner");
  }

  async lookUp(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan = 0,
  ): Promise<Found | undefined> {
    const copy = this.#copy(key);
    if (copy && copy.version > newerThan) return copy;
    let isComputing = false;
    const computeOnce = () => {
      isComputing = true;
      return compute();
    };
    try {
      return await this.#fromOwner(key, computeOnce, newerThan);
    } catch (error) {
      // What the computation itself has thrown is for whoever asked.
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
    const { ownerOf, deadlineMs } = this.#options;
    const owner = ownerOf(key);
    for (let purges = 0; purges <= MAX_PURGES; purges++) {
      const first = await this.#within(deadlineMs, owner.lookUp(key, newerThan));
      if (first.kind === "held") return this.#found(key, first.held, "owner");
      if (first.kind === "lease") return this.#compute(key, first.fence, compute);
      const waited = await this.#within(LEASE_MS + deadlineMs, owner.wait(key, newerThan));
      if (waited.kind === "held") return this.#found(key, waited.held, "computed");
      if (waited.kind === "nothing") return undefined;
    }
    return undefined;
  }

  async #compute(
    key: string,
    fence: number,
    compute: () => Promise<Computed | undefined>,
  ): Promise<Found | undefined> {
    let computed: Computed | undefined;
    let isKept = false;
    try {
      computed = await compute();
    } finally {
      const { ownerOf, deadlineMs } = this.#options;
      // Whoever has computed has the value, whether or not its owner takes it.
      const giving = this.#within(deadlineMs, ownerOf(key).put(key, fence, computed));
      isKept = await giving.catch(() => false);
    }
    if (!computed) return undefined;
    const held = { value: computed.value, ageMs: 0, leftMs: computed.ttlMs, version: fence };
    return isKept ? this.#found(key, held, "computed") : { ...pick(held), source: "computed" };
  }

  async purge(key: string): Promise<void> {
    this.#copies.delete(key);
    const { ownerOf, ownersOf, deadlineMs, runtime } = this.#options;
    // Other regions forget it a little later.
    const others = ownersOf(key).map((owner) => owner.purge(key));
    runtime.keepAlive(Promise.allSettled(others));
    await this.#within(deadlineMs, ownerOf(key).purge(key));
  }

  /** Forgets all values with a tag, at all owners. Rejects if one of them can't be reached. */
  async purgeTag(tag: string): Promise<void> {
    // A copy does not know its tags.
    this.#copies.clear();
    await Promise.all(this.#options.ownersOf().map((owner) => owner.purgeTag(tag)));
  }

  #copy(key: string): Found | undefined {
    const copy = this.#copies.get(key, this.#options.runtime.now());
    return copy && { ...pick(copy), source: "copy" };
  }

  #found(key: string, held: Held, source: Found["source"]): Found {
    const { value, ageMs, leftMs, version } = held;
    const ttlMs = ageMs + Math.min(leftMs, MAX_COPY_MS);
    const computedMs = this.#options.runtime.now() - ageMs;
    this.#copies.set(key, version, { value, ttlMs, tags: [] }, computedMs);
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

function pick({ value, ageMs, version }: Omit<Found, "source">) {
  return { value, ageMs, version };
}
