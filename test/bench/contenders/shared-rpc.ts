/**
 * What no limiter that shares its calls can be faster than: the calls shared as Turnpike shares
 * them, its two headers, and nothing else. No key, no policy, no deadline, no count worth the name.
 */
import { DurableObject, env, waitUntil } from "cloudflare:workers";
import { Hono } from "hono";
import { counts } from "./settings.ts";

const OBJECTS = 4;
const GATHER_MS = 1;
/** Without a timer of its own the runtime may end a request that waits for another's call. */
const PATIENCE_MS = 750;
const HEADERS = [
  ["RateLimit-Policy", '"default";q=1000000000;w=86400'],
  ["RateLimit", '"default";r=999999999;t=43200'],
] as const;

export class RateLimiter extends DurableObject {
  #total = 0;

  increment(checks: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
    counts.rpcs++;
    counts.checks += checks.length;
    for (let at = 0; at < checks.length; at++) checks[at] = ++this.#total;
    return checks;
  }
}

/** What is under way to one object. */
class Line {
  readonly #name: string;
  #callsInFlight = 0;
  /** Settle the requests that share the next call with the one that makes it. */
  #waiters: ((total: number | undefined) => void)[] | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  ask(): Promise<number | undefined> {
    if (this.#waiters) return this.#follow(this.#waiters);
    const asking = this.#callsInFlight === 0 ? this.#call([]) : this.#gather();
    waitUntil(asking);
    return asking;
  }

  #follow(waiters: ((total: number | undefined) => void)[]): Promise<number | undefined> {
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    waiters.push(resolve);
    const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
    return promise.finally(() => clearTimeout(timer));
  }

  async #gather(): Promise<number | undefined> {
    const waiters: ((total: number | undefined) => void)[] = [];
    this.#waiters = waiters;
    await scheduler.wait(GATHER_MS);
    this.#waiters = undefined;
    return this.#call(waiters);
  }

  async #call(waiters: readonly ((total: number | undefined) => void)[]) {
    this.#callsInFlight++;
    try {
      const checks = new Uint32Array(waiters.length + 1);
      const totals = await objects.getByName(this.#name).increment(checks);
      for (const [at, settle] of waiters.entries()) settle(totals[at + 1]);
      return totals[0];
    } finally {
      this.#callsInFlight--;
    }
  }
}

const objects = env.TURNPIKE_OWNERS as unknown as DurableObjectNamespace<RateLimiter>;
const lines = Array.from({ length: OBJECTS }, (_, n) => new Line(String(n)));
let next = 0;

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.get("/", async (c) => {
  next = (next + 1) % OBJECTS;
  await lines[next]?.ask();
  const response = c.text("Hello");
  for (const [name, value] of HEADERS) response.headers.set(name, value);
  return response;
});

export default app;
