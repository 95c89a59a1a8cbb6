/**
 * Batches of 100 checks to one object: `/check` and `/add` through RPC, `/inside` without.
 *
 * `?batches=N` says how many; whoever asks takes the time.
 */
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { RateLimiter as Limiter } from "../../../src/index.ts";

type Batch = Parameters<Limiter["check"]>[0];

const CHECKS = 100;
const KEYS = 100_000;
const LIMIT = 1_000_000_000;

export class RateLimiter extends Limiter {
  #total = 0;

  /** Adds one for each check, and no more: the least that an object could do. */
  add(batch: Batch): number[] {
    return batch.map(() => ++this.#total);
  }

  inside(batches: number): void {
    for (let n = 0; n < batches; n++) this.check(newBatch());
  }
}

const objects = env.RATE_LIMITER as unknown as DurableObjectNamespace<RateLimiter>;

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
    const answer = await object[verb](newBatch());
    const count = Array.isArray(answer) ? answer.length : answer.verdicts.length;
    if (count !== CHECKS) throw new Error(`${count} answers to ${CHECKS} checks`);
  }
  return c.text("done");
});

function newBatch(): Batch {
  return Array.from({ length: CHECKS }, () => ({ key: newKey(), policies: POLICIES }));
}

const POLICIES: Batch[number]["policies"] = [
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

function newKey(): Batch[number]["key"] {
  const client = Math.floor(Math.random() * KEYS);
  // Spread as a hash would be.
  return { hi: Math.imul(client, 0x9e3779b1) >>> 0, lo: Math.imul(client, 0x85ebca6b) >>> 0 };
}

export default app;
