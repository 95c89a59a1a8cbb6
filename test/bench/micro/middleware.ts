/**
 * The middleware over bare Hono, in process: allowed with an owner at hand, and denied from memory.
 */
import "./runtime-stand-in.ts";
import { Hono, type MiddlewareHandler } from "hono";
import { FakeOwners } from "../../caller/fake-owners.ts";
import { timed } from "./timing.ts";

// After the stand-in: static imports of modules without side effects may be loaded first.
const { Caller } = await import("../../../src/caller/caller.ts");
const { WORKERS } = await import("../../../src/runtime.ts");
const { parseLimiterConfig } = await import("../../../src/limiter-config.ts");
const { enforce } = await import("../../../src/http/rate-limit.ts");
const { parseRule } = await import("../../../src/http/rules.ts");

const MANY = 1_000_000_000;
const OPERATIONS = 100;

/** @returns ns for one request */
export function allowed(): Promise<Record<string, number>> {
  const limited = app(limitedTo(MANY));
  return timed({ "bare Hono": repeat(app()), "with Turnpike": repeat(limited) }, OPERATIONS);
}

/** @returns ns for one request; the fixed answer has the headers and the body of the denial */
export async function denied(): Promise<Record<string, number>> {
  const denying = app(limitedTo(1));
  await ask(denying);
  const denial = await ask(denying);
  if (denial.status !== 429) throw new Error(`expected a denial, not ${denial.status}`);
  const headers = Object.fromEntries(denial.headers);
  const body = await denial.text();
  const fixed = new Hono().get("/", (c) => c.body(body, 429, headers));
  return timed(
    { "bare Hono, a fixed 429": repeat(fixed), "Turnpike, from memory": repeat(denying) },
    OPERATIONS,
  );
}

function limitedTo(limit: number): MiddlewareHandler {
  const config = parseLimiterConfig({});
  const caller = new Caller({ owners: new ForgetfulOwners(), runtime: WORKERS, ...config });
  return enforce([parseRule({ limit, window: "366d" })], caller, config);
}

/** Owners that keep no list of their calls, which would grow with the measurement. */
class ForgetfulOwners extends FakeOwners {
  override getByName(...args: Parameters<FakeOwners["getByName"]>) {
    this.calls.length = 0;
    this.options.length = 0;
    return super.getByName(...args);
  }
}

function app(limiter?: MiddlewareHandler): Hono {
  const app = new Hono();
  if (limiter) app.use(limiter);
  return app.get("/", (c) => c.text("Hello"));
}

function ask(app: Hono): Response | Promise<Response> {
  const headers = { "CF-Connecting-IP": "192.0.2.1" };
  return app.fetch(new Request("http://localhost/", { headers }));
}

function repeat(app: Hono): () => Promise<void> {
  return async () => {
    for (let n = 0; n < OPERATIONS; n++) await ask(app);
  };
}
