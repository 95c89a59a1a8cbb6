/**
 * The entry point `turnpike/events`: counters of many dimensions, on the same ring.
 *
 * By itself, so that an app which only limits does not carry them.
 */
import { env as environment, exports, waitUntil } from "cloudflare:workers";
import { isolateRouter, Router } from "./caller/router.ts";
import { EventReader } from "./events/event-reader.ts";
import { EventSender } from "./events/event-sender.ts";
import { EVER_PREFIX } from "./events/level.ts";
import { directoryOf, eventsNamespace } from "./events/namespace.ts";
import { checkedKey, type Dimensions } from "./events/tuple.ts";
import { parseLimiterConfig } from "./limiter-config.ts";
import { stubOf } from "./protocol/rpc.ts";
import { keyHasher } from "./ring/key-hash.ts";
import { perRegion, type Region } from "./ring/region.ts";
import { runtimeWith, steady } from "./runtime.ts";

export type { Count, Distinct, Point, Top, TopEntry } from "./events/answers.ts";
export type { Range } from "./events/query.ts";
export type { Dimensions } from "./events/tuple.ts";
export { Events } from "./objects/events.ts";

/** Counts events and reads them. */
export interface EventCounters extends Pick<EventReader, "top" | "series" | "distinct"> {
  /**
   * Counts an event: in this isolate at once, at its owner about a second later, without anyone
   * waiting for it.
   *
   * @param name what happened: a letter, then letters, digits, `_`, `.` and `-`, 64 at most
   * @param dimensions to whom and where: at most 8, values of at most 256 characters
   * @param amount how often: a whole number from 1 to 1,000,000,000
   * @throws {MisuseError} naming the field, the rule and the value
   * @example events(env).count("api", { customer: "c-17", endpoint: "/search" })
   */
  count(name: string, dimensions?: Dimensions, amount?: number): void;
}

export interface EventOptions {
  /** Whose owners count: those nearest to the client, say. Default the home region. */
  region?: Region;
}

const runtime = runtimeWith(waitUntil);
/** What an isolate has one of; made when something is first counted or read. */
let isolate: ReturnType<typeof newIsolate> | undefined;

/**
 * Returns the counters of this Worker.
 *
 * @param env the Worker's environment, which has the binding `TURNPIKE_EVENTS` unless the Worker
 *   exports the class `Events`
 * @throws {MisuseError} where it counts or reads, if there is neither
 */
export function events(env: object = environment, { region }: EventOptions = {}): EventCounters {
  const here = () => {
    isolate ??= newIsolate(env);
    return isolate;
  };
  return {
    count: (name, dimensions = {}, amount = 1) => {
      const key = checkedKey({ name, dimensions, amount });
      const { senderOf, home } = here();
      senderOf(region ?? home).count(name, key, amount);
    },
    top: async (...query) => here().reader.top(...query),
    series: async (...query) => here().reader.series(...query),
    distinct: async (...query) => here().reader.distinct(...query),
  };
}

/**
 * What the deployed Worker needs besides: to count what it decides, and to read that.
 *
 * @param onSend called each time that events are sent, if this is the first call
 */
export function ownEvents(env: object, onSend?: () => void) {
  // At once, so that a wrong binding shows as the Worker starts.
  isolate ??= newIsolate(env, onSend);
  const { senderOf, reader } = isolate;
  return {
    count: (region: Region, ...counted: Parameters<EventSender["count"]>) =>
      senderOf(region).count(...counted),
    reader,
  };
}

function newIsolate(env: object, onSend?: () => void) {
  const { hashSecret, homeRegion: home, ownersPerRegion } = parseLimiterConfig(env);
  const namespace = eventsNamespace(env, exports);
  const router = isolateRouter(ownersPerRegion);
  // The limiter's own sums stay where they are through each change of the ring: what another owner
  // counted before it was first scraped, Prometheus would not see as an increase.
  const firstRings = new Router(ownersPerRegion);
  const hash = keyHasher(hashSecret);
  const stub = (name: string) => stubOf(namespace, name);
  const senderOf = perRegion(
    (region) =>
      new EventSender({
        runtime: steady(runtime),
        ownerOf: (name, by) => {
          const rings = name.startsWith(EVER_PREFIX) ? firstRings : router;
          return rings.ownerOf(hash([name, by]), region).owner;
        },
        record: (owner, batch) => stub(owner).record(batch),
        newSender: () => crypto.randomUUID(),
        random: () => Math.random(),
        onSend,
      }),
  );
  const reader = new EventReader({
    runtime,
    stubOf: stub,
    directory: directoryOf(home),
    hash: (value) => hash([value]),
  });
  return { home, senderOf, reader };
}
