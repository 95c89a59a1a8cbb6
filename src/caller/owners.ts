/**
 * The owners as one isolate sees them: whom to call and with whom to share the call, whom to skip,
 * and what to say when one fails.
 */

import { log } from "../log.ts";
import type { CounterStub } from "../protocol/rpc.ts";
import type { Answer, Batch } from "../protocol/wire.ts";
import { Breaker, OPEN_MS } from "./breaker.ts";
import { askOwner, CallError, callOwner, type Line, type Verb } from "./call.ts";
import { Coalescer } from "./coalescer.ts";

/** For calls that an operator makes, to owners that may be far away and cold. */
const OPERATOR_DEADLINE_MS = 5_000;
/** From one report of an owner that is skipped to the next. */
const REPORT_INTERVAL_MS = 10_000;

export class Owners {
  readonly #line: Line;
  readonly #report: (owner: string) => void;
  readonly #coalescer: Coalescer;
  readonly #breaker = new Breaker();
  /** When each owner was last warned of, ms since the epoch. */
  readonly #warnedMs = new Map<string, number>();
  /** When each owner was last reported, ms since the epoch. */
  readonly #reportedMs = new Map<string, number>();

  /** @param report tells of an owner that is being skipped */
  constructor(line: Line, report: (owner: string) => void) {
    this.#line = line;
    this.#report = report;
    const send = (owner: string, batch: Batch) => this.#send(owner, "check", batch);
    this.#coalescer = new Coalescer(send, line.runtime, line.deadlineMs);
  }

  /** Asks an owner about checks; undefined if it does not answer, or is being skipped. */
  async ask(owner: string, verb: Verb, batch: Batch): Promise<Answer | undefined> {
    if (!this.#breaker.admits(owner, this.#line.runtime.now())) return undefined;
    const [only, ...others] = batch.checks;
    try {
      if (verb !== "check" || !only || others.length > 0) {
        return await this.#send(owner, verb, batch);
      }
      return await this.#coalescer.ask(owner, batch.version, only);
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
  operate<Reply>(owner: string, call: (stub: CounterStub) => Promise<Reply>): Promise<Reply> {
    return callOwner(this.#operatorLine, owner, call);
  }

  /**
   * Asks an owner about many keys for an operator.
   *
   * @throws {CallError} if it does not answer, or says of a check what can't be believed
   */
  async insist(owner: string, verb: Verb, batch: Batch): Promise<Answer> {
    const answer = await askOwner(this.#operatorLine, owner, verb, batch);
    if (!answer.verdicts.some((each) => each?.length === 0)) return answer;
    throw new CallError("nonsense", "not an answer to all of the questions");
  }

  get #operatorLine(): Line {
    return { ...this.#line, deadlineMs: OPERATOR_DEADLINE_MS };
  }

  /** Makes one call, and keeps count of how calls to this owner end. */
  async #send(owner: string, verb: Verb, batch: Batch): Promise<Answer> {
    try {
      const answer = await askOwner(this.#line, owner, verb, batch);
      this.#breaker.succeeded(owner);
      return answer;
    } catch (error) {
      if (error instanceof CallError) this.#failed(owner, error);
      throw error;
    }
  }

  /** Warns at most once in `OPEN_MS` for each owner, with no word of whose key it was. */
  #failed(owner: string, { failure, message }: CallError): void {
    const nowMs = this.#line.runtime.now();
    const isLate = failure === "deadline";
    const { failures, isSkipped } = this.#breaker.failed(owner, nowMs, isLate);
    if (isSkipped) this.#reportOnce(owner, nowMs);
    if (nowMs - (this.#warnedMs.get(owner) ?? 0) < OPEN_MS) return;
    this.#warnedMs.set(owner, nowMs);
    log("warn", "owner-failed", { owner, failure, detail: message, failuresInARow: failures });
  }

  #reportOnce(owner: string, nowMs: number): void {
    if (nowMs - (this.#reportedMs.get(owner) ?? 0) < REPORT_INTERVAL_MS) return;
    this.#reportedMs.set(owner, nowMs);
    this.#report(owner);
  }
}
