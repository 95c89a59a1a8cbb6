/** The Durable Object of an owner of cached values: native RPC in, timers out. It decides nothing. */
import { DurableObject } from "cloudflare:workers";
import { CacheOwner } from "../cache/cache-owner.ts";
import type { CacheRpc } from "../cache/rpc.ts";
import type { Computed } from "../cache/value.ts";
import { runtimeWith } from "../runtime.ts";

export class Cache extends DurableObject implements CacheRpc {
  readonly #owner = new CacheOwner(runtimeWith((task) => this.ctx.waitUntil(task)));

  find(key: string) {
    return this.#owner.find(key);
  }

  lookUp(key: string, newerThan: number) {
    return this.#owner.lookUp(key, newerThan);
  }

  wait(key: string, newerThan: number) {
    return this.#owner.wait(key, newerThan);
  }

  put(key: string, fence: number, computed: Computed | undefined) {
    return this.#owner.put(key, fence, computed);
  }

  purge(key: string) {
    return this.#owner.purge(key);
  }

  purgeTag(tag: string) {
    return this.#owner.purgeTag(tag);
  }
}
