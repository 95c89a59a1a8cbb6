/** Turnpike's middleware, with an object that counts what it is asked. */
import { Hono } from "hono";
import {
  RateLimiter as Limiter,
  Membership as OperatedRingKeeper,
  rateLimit,
} from "../../../src/index.ts";
import { counts, limit, mode, windowSeconds } from "./settings.ts";

/** Of a check under one policy: see `WireBatch`. */
const CHECK_WORDS = 4;

export class RateLimiter extends Limiter {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    countRows(ctx.storage);
    super(ctx, env);
  }

  override check(...args: Parameters<Limiter["check"]>): ReturnType<Limiter["check"]> {
    counts.rpcs++;
    counts.checks += args[0].words.length / CHECK_WORDS;
    return super.check(...args);
  }
}

/** Calls to it are calls to objects too. */
export class Membership extends OperatedRingKeeper {
  override ring(): ReturnType<OperatedRingKeeper["ring"]> {
    counts.rpcs++;
    return super.ring();
  }

  override reportLoad(...args: Parameters<OperatedRingKeeper["reportLoad"]>): Promise<void> {
    counts.rpcs++;
    return super.reportLoad(...args);
  }
}

/** Counts rows that are written or deleted: one for each key, and for each time an alarm is set. */
function countRows(storage: DurableObjectStorage): void {
  for (const name of ["put", "delete", "setAlarm"] as const) {
    const write = storage[name].bind(storage) as (...args: unknown[]) => unknown;
    const counting = (what: unknown, ...others: unknown[]) => {
      const isMany = typeof what === "object" && !(what instanceof Date);
      counts.rows += isMany ? Object.keys(what ?? {}).length : 1;
      return write(what, ...others);
    };
    Object.defineProperty(storage, name, { value: counting });
  }
}

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.use(rateLimit({ limit, window: `${windowSeconds}s`, mode }));
app.get("/", (c) => c.text("Hello"));

export default app;
