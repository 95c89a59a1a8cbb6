/**
 * The Durable Object of an owner of events, and of their directory: native RPC in; storage, timers
 * and calls to the directory out. It decides nothing.
 *
 * Whether an object counts events or keeps the directory depends on its name. See `EventsRpc`.
 */
import { DurableObject, exports } from "cloudflare:workers";
import { EventDirectory } from "../events/event-directory.ts";
import { EventOwner } from "../events/event-owner.ts";
import type { Batch } from "../events/event-store.ts";
import { directoryOf, eventsNamespace } from "../events/namespace.ts";
import type { EventsRpc, Read } from "../events/rpc.ts";
import { parseLimiterConfig } from "../limiter-config.ts";
import { stubOf } from "../protocol/rpc.ts";
import { keyHasher } from "../ring/key-hash.ts";
import { runtimeWith } from "../runtime.ts";

export class Events extends DurableObject implements EventsRpc {
  #owner: EventOwner | undefined;
  #directory: EventDirectory | undefined;

  record(batch: Batch) {
    return this.#asOwner.record(batch);
  }

  read(reads: Read[]) {
    return this.#asOwner.read(reads);
  }

  announce(owner: string) {
    return this.#asDirectory.announce(owner, Date.now());
  }

  owners() {
    return this.#asDirectory.owners();
  }

  override async alarm() {
    await this.#asOwner.wake();
  }

  /** Made with the first call, which shows whether the object is an owner or the directory. */
  get #asOwner(): EventOwner {
    this.#owner ??= this.#newOwner();
    return this.#owner;
  }

  get #asDirectory(): EventDirectory {
    this.#directory ??= new EventDirectory(this.ctx.storage);
    return this.#directory;
  }

  #newOwner(): EventOwner {
    const { hashSecret, homeRegion } = parseLimiterConfig(this.env);
    const hash = keyHasher(hashSecret);
    const name = this.ctx.id.name ?? "";
    const directory = directoryOf(homeRegion);
    return new EventOwner({
      name,
      runtime: runtimeWith((task) => this.ctx.waitUntil(task)),
      storage: this.ctx.storage,
      hash: (value) => hash([value]),
      announce: () => stubOf(eventsNamespace(this.env, exports), directory).announce(name),
    });
  }
}
