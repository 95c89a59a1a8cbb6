/**
 * The process that owns cached values, in memory only: a crash or a ring change forgets them.
 *
 * Of the callers who miss a value, the first gets a lease with a fencing number and computes; the
 * others wait. A lease ends after `LEASE_MS`: then nobody waits any more, and a value that its
 * holder brings later is dropped. A value is also dropped if its key, or any tag, was purged
 * meanwhile.
 */
import { type Runtime, steady } from "../runtime.ts";
import type { CacheRpc, LookedUp, Waited } from "./rpc.ts";
import { type Computed, type Held, MAX_VALUE_BYTES } from "./value.ts";
import { CHAR_BYTES, Values } from "./values.ts";

export const MAX_OWNER_BYTES = 24_000_000;
/** How long callers wait for another's computation. */
export const LEASE_MS = 5_000;
const FENCES_PER_MS = 1_000;
/** About the bytes that a lease takes besides its key. */
const LEASE_BYTES = 800;

interface Lease {
  fence: number;
  bytes: number;
  untilMs: number;
  ended: PromiseWithResolvers<"computed" | "purged">;
}

export class CacheOwner implements CacheRpc {
  readonly #runtime: Runtime;
  readonly #values: Values;
  readonly #leases = new Map<string, Lease>();
  readonly #maxLeaseBytes: number;
  #leaseBytes = 0;
  #lastFence = 0;

  constructor(runtime: Runtime, maxBytes = MAX_OWNER_BYTES) {
    this.#runtime = steady(runtime);
    this.#values = new Values(maxBytes);
    this.#maxLeaseBytes = maxBytes / 2;
  }

  get bytes(): number {
    return this.#values.bytes;
  }

  find(key: string): Held | undefined {
    return this.#values.get(key, this.#runtime.now());
  }

  lookUp(key: string, newerThan: number): LookedUp {
    const nowMs = this.#runtime.now();
    const held = this.#values.get(key, nowMs);
    if (held && held.version > newerThan) return { kind: "held", held };
    this.#endLate(nowMs);
    if (this.#leases.has(key)) return { kind: "busy" };
    // Above all numbers from before a restart, unless over 1,000 leases a millisecond were given.
    const fence = Math.max(this.#lastFence + 1, nowMs * FENCES_PER_MS);
    this.#lastFence = fence;
    const bytes = LEASE_BYTES + key.length * CHAR_BYTES;
    // In a flood of keys that are all computed, a caller gets no real lease: its value is not kept.
    if (this.#leaseBytes + bytes > this.#maxLeaseBytes) return { kind: "lease", fence };
    this.#reserve(bytes);
    const ended = Promise.withResolvers<"computed" | "purged">();
    this.#leases.set(key, { fence, bytes, untilMs: nowMs + LEASE_MS, ended });
    return { kind: "lease", fence };
  }

  async wait(key: string, newerThan: number): Promise<Waited> {
    const lease = this.#leases.get(key);
    if (lease) {
      const { promise } = lease.ended;
      const leftMs = Math.max(0, lease.untilMs - this.#runtime.now());
      const end = await Promise.race([promise, this.#runtime.wait(leftMs, promise)]);
      if (end === "purged") return { kind: "purged" };
    }
    const held = this.find(key);
    if (held && held.version > newerThan) return { kind: "held", held };
    // Without a lease, the lease ended before this call arrived, perhaps by a purge.
    return { kind: lease ? "nothing" : "purged" };
  }

  put(key: string, fence: number, computed: Computed | undefined): boolean {
    if (this.#leases.get(key)?.fence !== fence) return false;
    const fits = computed !== undefined && computed.value.length <= MAX_VALUE_BYTES;
    if (fits) this.#values.set(key, fence, computed, this.#runtime.now());
    this.#endLease(key, "computed");
    return fits;
  }

  purge(key: string): void {
    this.#values.delete(key);
    this.#endLease(key, "purged");
  }

  purgeTag(tag: string): void {
    this.#values.deleteTag(tag);
    // Which tags the values under way will have is not known yet.
    for (const key of this.#leases.keys()) this.#endLease(key, "purged");
  }

  #endLease(key: string, end: "computed" | "purged"): void {
    const lease = this.#leases.get(key);
    if (!lease) return;
    lease.ended.resolve(end);
    this.#leases.delete(key);
    this.#reserve(-lease.bytes);
  }

  #reserve(bytes: number): void {
    this.#leaseBytes += bytes;
    this.#values.reserve(bytes);
  }

  /** Drops leases whose time is over. The oldest lease comes first. */
  #endLate(nowMs: number): void {
    for (const [key, { untilMs }] of this.#leases) {
      if (untilMs > nowMs) return;
      this.#endLease(key, "computed");
    }
  }
}
