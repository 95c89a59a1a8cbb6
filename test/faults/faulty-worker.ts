/**
 * The deployed Worker as it is, but with owners that can be told to fail: by a request to
 * `/faults/NAME` with a {@link Fault} as its body. Nothing of this is in `src`.
 */
import { env } from "cloudflare:workers";
import type { WireAnswer } from "../../src/protocol/wire-answer.ts";
import worker, { RateLimiter as Limiter } from "../../src/worker.ts";
import { type Fault, FaultyStorage, STARTED, spoil } from "./fault.ts";

export { Membership } from "../../src/worker.ts";

type Check = Limiter["check"];

export class RateLimiter extends Limiter {
  readonly #storage: FaultyStorage;
  #fault: Fault = { kind: "none" };
  /** Ends as the last call does, to an owner that takes one at a time. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    const storage = new FaultyStorage(ctx.storage);
    super(ctx, env);
    this.#storage = storage;
    console.log(`${STARTED} ${ctx.id.name}`);
  }

  override check(...args: Parameters<Check>): ReturnType<Check> {
    const { kind, share = 1, ms = 0 } = this.#fault;
    const answer = () => super.check(...args);
    if (kind === "none" || kind === "full" || Math.random() >= share) return answer();
    if (kind === "hang") return new Promise(() => {});
    if (kind === "throw") throw new Error("told to throw");
    if (kind === "late") return afterwards(answer(), ms);
    if (kind === "slow") {
      const done = this.#busy.then(() => afterwards(answer(), ms));
      this.#busy = done;
      return done;
    }
    return Promise.resolve(answer()).then((right) => spoil(kind, right) as WireAnswer);
  }

  fail(fault: Fault): void {
    this.#fault = fault;
    this.#storage.isFull = fault.kind === "full";
    if (fault.kind === "abort") this.ctx.abort("told to abort");
  }
}

async function afterwards<Answer>(answer: Answer, ms: number): Promise<Awaited<Answer>> {
  await scheduler.wait(ms);
  return await answer;
}

const owners = env.TURNPIKE_OWNERS as unknown as DurableObjectNamespace<RateLimiter>;

export default {
  async fetch(request: Request, env: Cloudflare.Env, ctx: ExecutionContext): Promise<Response> {
    const [, name] = /^\/faults\/(.+)$/.exec(new URL(request.url).pathname) ?? [];
    if (!name) return worker.fetch(request, env, ctx);
    const fault = (await request.json()) as Fault;
    // An object that aborts itself can't say that it did.
    await owners
      .getByName(decodeURIComponent(name))
      .fail(fault)
      .catch(() => {});
    return new Response();
  },
};
