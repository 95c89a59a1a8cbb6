/**
 * Batches of 100 checks to one object: `/check` and `/add` through RPC, `/inside` without.
 *
 * `?batches=N` says how many; whoever asks takes the time.
 */
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import type { CounterPolicy } from "../../../src/counters/check.ts";
import { RateLimiter as Limiter } from "../../../src/index.ts";
import { encodeBatch, type WireBatch } from "../../../src/protocol/wire.ts";

const CHECKS = 100;
/** Of a check under one policy: see `WireBatch` and `WireAnswer`. */
const CHECK_WORDS = 4;
const HEAD_NUMBERS = 3;
const VERDICT_NUMBERS = 5;
const KEYS = 100_000;
const LIMIT = 1_000_000_000;

export class RateLimiter extends Limiter {
  #total = 0;

  /** Adds one for each check, and no more: the least that an object could do. */
  add({ words }: WireBatch): Float64Array {
    return Float64Array.from({ length: words.length / CHECK_WORDS }, () => ++this.#total);
  }

  inside(batches: number): void {
    for (let n = 0; n < batches; n++) this.check(batchOf(n));
  }
}

const objects = env.TURNPIKE_OWNERS as unknown as DurableObjectNamespace<RateLimiter>;

const app = new Hono();
app.get("/inside", async (c) => {
  await objects.getByName("one").inside(Number(c.req.query("batches")));
  return c.text("done");
});
app.get("/:verb{check|add}", async (c) => {
  const object = objects.getByName("one");
  const verb = c.req.param("verb") as "check" | "add";
  const batches = Number(c.req.query("batches"));
  for (let n = 0; n < batches; n++) {
    const answer = (await object[verb](batchOf(n))) as Float64Array;
    const expected = verb === "add" ? CHECKS : HEAD_NUMBERS + CHECKS * VERDICT_NUMBERS;
    if (answer.length !== expected) throw new Error(`${answer.length} numbers, not ${expected}`);
  }
  return c.text("done");
});

const POLICIES: CounterPolicy[] = [
  {
    name: "default",
    algorithm: "fixed-window",
    limit: LIMIT,
    windowMs: 60_000,
    capacity: LIMIT,
    cost: 1,
    shadow: false,
    durable: false,
  },
];

/** Made at the first request and then used over and over: to make them is not what is measured. */
let made: WireBatch[] = [];

function batchOf(n: number): WireBatch {
  if (made.length === 0) made = Array.from({ length: KEYS / CHECKS }, newBatch);
  return made[n % made.length] as WireBatch;
}

function newBatch(): WireBatch {
  const checks = Array.from({ length: CHECKS }, () => {
    return { key: { hi: randomWord(), lo: randomWord() }, policies: POLICIES };
  });
  return encodeBatch({ version: 0, checks });
}

function randomWord(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

export default app;
