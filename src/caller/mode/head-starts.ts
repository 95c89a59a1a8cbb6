/**
 * Decides which handlers may start before the verdict on their request is there.
 *
 * A denied request whose handler has started makes an origin work for nothing. So a handler starts
 * only if the verdict will most likely allow it: its key was not denied lately, and its owner's
 * last answer leaves room for all that is in flight. Of a key without such an answer, one handler
 * starts.
 *
 * The bound: if one isolate serves a key, at most one handler of a denied request starts in each
 * window. If several do, those handlers start that are under way when an isolate first hears of a
 * denial: at most as many as the owner's last answer had left.
 */
import { first53Bits, type KeyHash } from "../../ring/key-hash.ts";
import type { Runtime } from "../../runtime.ts";
import type { Asked, DenialCache } from "../denial-cache.ts";
import type { Question, Reply } from "../question.ts";
import { KnownQuotas, update } from "./known-quotas.ts";

/** The most keys remembered as denied lately: 5 MB. While there are more, all handlers wait. */
const MAX_DENIED = 100_000;
/** The least time between two sweeps that remove keys whose handlers may start again. */
const SWEEP_MS = 1_000;

export interface HeadStartOptions {
  runtime: Runtime;
  denials: Pick<DenialCache, "wasDenied">;
  route: (question: Question) => Asked;
}

/** A handler that may start ahead of its verdict, or must wait. */
export interface HeadStart {
  mayStart: boolean;
  /**
   * Takes the replies to the questions. If one was denied first, some replies may be missing.
   */
  end: (replies: readonly Reply[]) => void;
}

export class HeadStarts {
  readonly #options: HeadStartOptions;
  readonly #quotas = new KnownQuotas();
  /** Until when the handlers of a denied key wait, ms since the epoch, by `first53Bits`. */
  readonly #deniedUntilMs = new Map<number, number>();
  #sweptMs = 0;

  constructor(options: HeadStartOptions) {
    this.#options = options;
  }

  /** Decides whether the handler may start, before the questions are asked. */
  begin(questions: readonly Question[]): HeadStart {
    const { runtime, denials, route } = this.#options;
    const nowMs = runtime.now();
    const asked = questions.map(route);
    let mayStart = this.#hasRoom(nowMs) && !asked.some((each) => denials.wasDenied(each));
    for (const { key, policies } of asked) {
      mayStart &&= nowMs >= (this.#deniedUntilMs.get(first53Bits(key)) ?? 0);
      for (const policy of policies) {
        const quota = this.#quotas.of(key, policy, nowMs);
        const { remaining, inFlight } = quota;
        mayStart &&= remaining === undefined ? inFlight === 0 : remaining - inFlight >= policy.cost;
        quota.inFlight += policy.cost;
      }
    }
    const end = (replies: readonly Reply[]) => {
      for (const [at, each] of asked.entries()) {
        this.#decided(
          each,
          replies.find(({ question }) => question === questions[at]),
        );
      }
    };
    return { mayStart, end };
  }

  #decided({ key, policies }: Asked, reply: Reply | undefined): void {
    const nowMs = this.#options.runtime.now();
    for (const [at, policy] of policies.entries()) {
      const decision = reply?.decisions[at];
      update(this.#quotas.of(key, policy, nowMs), policy.cost, decision, nowMs);
      if (decision && !decision.allowed) {
        this.#noteDenied(key, nowMs + Math.max(policy.windowMs, decision.retryAfterMs));
      }
    }
  }

  #noteDenied(key: KeyHash, untilMs: number): void {
    const id = first53Bits(key);
    this.#deniedUntilMs.set(id, Math.max(untilMs, this.#deniedUntilMs.get(id) ?? 0));
  }

  #hasRoom(nowMs: number): boolean {
    const denied = this.#deniedUntilMs;
    if (denied.size < MAX_DENIED) return true;
    if (nowMs - this.#sweptMs >= SWEEP_MS) {
      this.#sweptMs = nowMs;
      for (const [id, untilMs] of denied) if (nowMs >= untilMs) denied.delete(id);
    }
    return denied.size < MAX_DENIED;
  }
}
