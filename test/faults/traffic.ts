/**
 * Traffic on a limited site, each answer entered in a ledger.
 *
 * Not by autocannon: after a connection breaks it takes the next answer for one to the request that
 * was lost, and here each answer counts for its key.
 */
import { Agent, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { addressOf } from "../bench/workloads.ts";
import { Ledger } from "./ledger.ts";
import type { Scale } from "./row.ts";
import { LIMIT, Site } from "./site.ts";

export interface TrafficOptions {
  url: () => string;
  ledger: Ledger;
  connections: number;
  /** The key of the next request, a number that stands for an address. */
  pick: () => number;
  /** The address that a key stands for. Default one of IPv4. */
  address?: (key: number) => string;
  /** Requests that are sent each second, answered or not; left out: as many as the site takes. */
  perSecond?: number;
  /** The most requests that are sent each second; left out: as many as the site takes. */
  atMostPerSecond?: number | undefined;
  /** Part of the requests whose client goes away before it has an answer. Default none. */
  disconnects?: number;
}

/** How long one that got no connection waits before it tries again. */
const RETRY_MS = 20;
/** Clients that go away do so within that time. */
const DISCONNECT_MS = 10;
const TIMEOUT_MS = 10_000;

export class Traffic {
  readonly #options: TrafficOptions;
  readonly #agent: Agent;
  readonly #ended: Promise<unknown>;
  #isOver = false;

  /** Begins at once. */
  constructor(options: TrafficOptions) {
    const { connections, perSecond } = options;
    this.#options = options;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
    this.#ended = perSecond
      ? this.#paced(perSecond)
      : Promise.all(Array.from({ length: connections }, () => this.#oneByOne()));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#ended;
    this.#agent.destroy();
  }

  async #oneByOne(): Promise<void> {
    const { connections, atMostPerSecond = Number.POSITIVE_INFINITY } = this.#options;
    const turnMs = (connections * 1_000) / atMostPerSecond;
    while (!this.#isOver) {
      const startMs = performance.now();
      if (!(await this.#send(startMs))) await sleep(RETRY_MS);
      const leftMs = startMs + turnMs - performance.now();
      if (leftMs > 0) await sleep(leftMs);
    }
  }

  async #paced(perSecond: number): Promise<void> {
    const open = new Set<Promise<unknown>>();
    const startMs = performance.now();
    for (let sent = 0; !this.#isOver; ) {
      const dueMs = startMs + (sent / perSecond) * 1_000;
      if (dueMs > performance.now()) {
        await sleep(1);
        continue;
      }
      sent++;
      const request = this.#send(dueMs).finally(() => open.delete(request));
      open.add(request);
    }
    await Promise.all(open);
  }

  /** @returns whether there was an answer, or none was wanted */
  #send(dueMs: number): Promise<boolean> {
    const { url, ledger, pick, address = addressOf, disconnects = 0 } = this.#options;
    const key = pick();
    const headers = { "CF-Connecting-IP": address(key) };
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let hasLeft = false;
    const broken = () => {
      if (!hasLeft) ledger.brokenOff++;
      resolve(hasLeft);
    };
    const request = get(url(), { agent: this.#agent, headers, timeout: TIMEOUT_MS }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("error", broken);
      response.on("end", () => {
        const { statusCode = 0 } = response;
        const atMs = Date.now();
        ledger.requests++;
        ledger.latenciesMs.push(performance.now() - dueMs);
        if (statusCode >= 500) ledger.serverErrors++;
        else if (statusCode === 429) ledger.denied++;
        else ledger.admit({ key, exact: text.includes('"exact":true'), atMs });
        resolve(true);
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("error", broken);
    if (Math.random() < disconnects) {
      setTimeout(() => {
        hasLeft = true;
        request.destroy();
      }, Math.random() * DISCONNECT_MS);
    }
    return promise;
  }
}

/**
 * Draws keys so that each is asked for often while it is new, and now and then for ever after.
 *
 * @param times how often a new key is asked for, about: well above its limit
 */
export function comingKeys(times: number, window = 50): () => number {
  let drawn = 0;
  return () => {
    const oldest = Math.floor(drawn++ / times);
    if (oldest > 0 && Math.random() < 0.3) return Math.floor(Math.random() * oldest);
    return oldest + Math.floor(Math.random() * window);
  };
}

/** Opens a site, and has ever new keys come to it, 20 requests each. */
export async function underTraffic({ connections, atMostPerSecond }: Scale) {
  const site = await Site.open();
  const ledger = new Ledger(LIMIT);
  const traffic = new Traffic({
    ledger,
    connections,
    url: () => site.url,
    pick: comingKeys(20),
    atMostPerSecond,
  });
  return { site, ledger, traffic };
}
