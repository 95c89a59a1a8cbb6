/**
 * An isolate's client of the owners of cached values. It keeps copies of what it has just read for
 * a moment, and computes for itself if an owner does not answer.
 */
import { logSeldom } from "../log.ts";
import { Breaker } from "../protocol/breaker.ts";
import { DeadlineError, withDeadline } from "../protocol/deadline.ts";
import type { Stub } from "../protocol/rpc.ts";
import type { Runtime } from "../runtime.ts";
import { LEASE_MS } from "./cache-owner.ts";
import { Copies } from "./copies.ts";
import type { CacheRpc } from "./rpc.ts";
import type { CacheStore, Computed, Found, Held } from "./value.ts";

/** Deadline of a purge, which asks owners of all regions: some are far away or asleep. */
const PURGE_DEADLINE_MS = 5_000;

/** The owner of a key, by a version of the ring, and the key's name there. */
export interface Route {
  owner: string;
  version: number;
  /**
   * Includes the ring's version, so that no values are found that an owner kept from an earlier
   * ring: they may have been purged since.
   */
  name: string;
}

export interface CacheClientOptions {
  runtime: Runtime;
  /** How long to wait for an owner's answer. */
  deadlineMs: number;
  stubOf(owner: string): Stub<CacheRpc>;
  /** Returns what to await until the region's ring is known; undefined if it is known. */
  ready(): Promise<unknown> | undefined;
  /** Returns the version of the region's ring. */
  ringVersion(): number;
  routeOf(key: string): Route;
  /** Returns where each region keeps the key, by newly fetched rings. */
  allRoutesOf(key: string): Promise<Route[]>;
  /** Returns the owners of all regions, by newly fetched rings. */
  allOwners(): Promise<string[]>;
}

export class CacheClient implements CacheStore {
  readonly #options: CacheClientOptions;
  readonly #breaker = new Breaker();
  readonly #copies: Copies;

  constructor(options: CacheClientOptions) {
    this.#options = options;
    this.#copies = new Copies(options.runtime, options.ringVersion);
  }

  copyOf(key: string): Found | undefined {
    return this.#copies.find(key);
  }

  async find(key: string): Promise<Found | undefined> {
    const copy = this.copyOf(key);
    if (copy) return copy;
    const { owner, version, name } = await this.#route(key);
    const found = this.#copies.reader(key, version);
    const held = await this.#call(owner, (stub) => stub.find(name));
    return held && found(held, "owner");
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
      return await this.#fromOwner(key, computeOnce, newerThan);
    } catch (error) {
      // The caller gets what its own computation throws.
      if (isComputing) throw error;
      const computed = await compute();
      return computed && { ...heldOf(computed, 0), source: "computed" };
    }
  }

  /** Asks the owner. Rejects if it fails or takes too long. */
  async #fromOwner(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan: number,
  ): Promise<Found | undefined> {
    const { deadlineMs, runtime } = this.#options;
    const route = await this.#route(key);
    const { owner, version, name } = route;
    // A key may be purged again and again while it is computed.
    const untilMs = runtime.now() + LEASE_MS;
    for (let leftMs = LEASE_MS; leftMs > 0; leftMs = untilMs - runtime.now()) {
      const found = this.#copies.reader(key, version);
      const first = await this.#call(owner, (stub) => stub.lookUp(name, newerThan));
      if (first.kind === "held") return found(first.held, "owner");
      if (first.kind === "lease") {
        const computing = this.#compute(key, route, first.fence, compute);
        // Others wait for it, so it goes on when this client leaves.
        runtime.keepAlive(computing.catch(() => {}));
        return computing;
      }
      const wait = (stub: Stub<CacheRpc>) => stub.wait(name, newerThan);
      const waited = await this.#call(owner, wait, leftMs + deadlineMs);
      if (waited.kind === "held") return found(waited.held, "computed");
      if (waited.kind === "nothing") return undefined;
    }
    return undefined;
  }

  async #compute(
    key: string,
    { owner, version, name }: Route,
    fence: number,
    compute: () => Promise<Computed | undefined>,
  ): Promise<Found | undefined> {
    let computed: Computed | undefined;
    let isKept = false;
    const found = this.#copies.reader(key, version);
    try {
      computed = await compute();
    } finally {
      // The caller gets its value even if the owner does not take it.
      const giving = this.#call(owner, (stub) => stub.put(name, fence, computed));
      isKept = await giving.catch(() => false);
    }
    if (!computed) return undefined;
    const held = heldOf(computed, fence);
    return isKept ? found(held, "computed") : { ...held, source: "computed" };
  }

  /** Forgets a key in this region. Other regions forget it a little later. */
  async purge(key: string): Promise<void> {
    const { allRoutesOf, deadlineMs, runtime } = this.#options;
    const own = await this.#route(key);
    const isOther = ({ owner, name }: Route) => owner !== own.owner || name !== own.name;
    const others = allRoutesOf(key).then((routes) => this.#purgeAt(routes.filter(isOther)));
    runtime.keepAlive(
      others.catch((error) => logSeldom("warn", "purge-failed", "", { detail: String(error) })),
    );
    await this.#forget(deadlineMs, this.#purgeAt([own]), key);
  }

  /** Forgets a key in all regions. Rejects if an owner can't be reached. */
  purgeEverywhere(key: string): Promise<void> {
    const purges = this.#options.allRoutesOf(key).then((routes) => this.#purgeAt(routes));
    return this.#forget(PURGE_DEADLINE_MS, purges, key);
  }

  /** Forgets all values with a tag, in all regions. Rejects if an owner can't be reached. */
  purgeTag(tag: string): Promise<void> {
    const { allOwners, stubOf } = this.#options;
    const purges = allOwners().then((owners) =>
      Promise.all(owners.map((owner) => stubOf(owner).purgeTag(tag))),
    );
    return this.#forget(PURGE_DEADLINE_MS, purges);
  }

  #purgeAt(routes: readonly Route[]): Promise<unknown> {
    const { stubOf } = this.#options;
    return Promise.all(routes.map(({ owner, name }) => stubOf(owner).purge(name)));
  }

  async #forget(deadlineMs: number, purges: Promise<unknown>, key?: string): Promise<void> {
    try {
      await withDeadline(deadlineMs, purges, this.#options.runtime);
    } finally {
      this.#copies.purge(key);
    }
  }

  async #route(key: string): Promise<Route> {
    await this.#options.ready();
    return this.#options.routeOf(key);
  }

  /**
   * Calls an owner, and rejects if it takes too long. An owner that was late several times is
   * skipped for a while. One that fails at once is not, since no request waits for it.
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

function heldOf({ value, ttlMs }: Computed, version: number): Held {
  return { value, ageMs: 0, leftMs: ttlMs, version };
}
