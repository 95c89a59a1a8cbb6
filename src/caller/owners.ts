/**
 * The owners as one isolate sees them: whom to call and with whom to share the call, whom to skip,
 * and what to say when one fails.
 */
import type { Check } from "../owner/counters.ts";
import type { Answer } from "../owner/wire.ts";
import { Breaker, OPEN_MS } from "./breaker.ts";
import { askOwner, CallError, callOwner, type OwnerNamespace, type OwnerStub } from "./call.ts";
import { Coalescer } from "./coalescer.ts";

/** For calls that an operator makes, to owners that may be far away and cold. */
const OPERATOR_DEADLINE_MS = 5_000;

export class Owners {
  readonly #namespace: OwnerNamespace;
  readonly #deadlineMs: number;
  readonly #coalescer: Coalescer;
  readonly #breaker = new Breaker();
  /** When each owner was last warned of, ms since the epoch. */
  readonly #warnedMs = new Map<string, number>();

  constructor(namespace: OwnerNamespace, deadlineMs: number) {
    this.#namespace = namespace;
    this.#deadlineMs = deadlineMs;
    const send = (owner: string, checks: Check[]) => this.#send(owner, "check", checks);
    this.#coalescer = new Coalescer(send, 2 * deadlineMs);
  }

  /** Asks an owner about checks; undefined if it does not answer, or is being skipped. */
  async ask(
    owner: string,
    verb: "check" | "peek" | "refund",
    batch: Check[],
  ): Promise<Answer | undefined> {
    if (!this.#breaker.admits(owner, Date.now())) return undefined;
    const [only, ...others] = batch;
    try {
      if (verb !== "check" || !only || others.length > 0) {
        return await this.#send(owner, verb, batch);
      }
      return await this.#coalescer.ask(owner, only);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      return undefined;
    }
  }

  /**
   * Calls an owner for an operator, who would rather wait than be told of a stand-in.
   *
   * @throws {CallError} if it does not answer
   */
  operate<Reply>(owner: string, call: (stub: OwnerStub) => Promise<Reply>): Promise<Reply> {
    return callOwner(this.#namespace, owner, OPERATOR_DEADLINE_MS, call);
  }

  /** Makes one call, and keeps count of how calls to this owner end. */
  async #send(owner: string, verb: "check" | "peek" | "refund", batch: Check[]): Promise<Answer> {
    try {
      const answer = await askOwner(this.#namespace, owner, this.#deadlineMs, verb, batch);
      this.#breaker.succeeded(owner);
      return answer;
    } catch (error) {
      if (error instanceof CallError) this.#failed(owner, error);
      throw error;
    }
  }

  /** Warns at most once in `OPEN_MS` for each owner, with no word of whose key it was. */
  #failed(owner: string, { failure, message }: CallError): void {
    const nowMs = Date.now();
    const failuresInARow = this.#breaker.failed(owner, nowMs);
    if (nowMs - (this.#warnedMs.get(owner) ?? 0) < OPEN_MS) return;
    this.#warnedMs.set(owner, nowMs);
    const warning = { event: "owner-failed", owner, failure, detail: message, failuresInARow };
    console.warn(JSON.stringify(warning));
  }
}
