/** Calls owners for one isolate: shares calls, skips an owner that fails, and reports it. */

import { logSeldom } from "../log.ts";
import { Breaker, OPEN_MS } from "../protocol/breaker.ts";
import type { CounterStub } from "../protocol/rpc.ts";
import type { Batch } from "../protocol/wire.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import { Batcher } from "./batcher.ts";
import {
  askOwner,
  CallError,
  type CallOptions,
  callOwner,
  OPERATOR_DEADLINE_MS,
  type Verb,
} from "./call.ts";

/** The least time between two reports of one owner. */
const REPORT_INTERVAL_MS = 10_000;

/** How long all answers of an owner must have been late before the deadline is to blame. */
const ALWAYS_LATE_MS = 2 * OPEN_MS;

export class OwnerClient {
  readonly #options: CallOptions;
  readonly #report: (owner: string) => void;
  readonly #batcher: Batcher;
  readonly #breaker = new Breaker();
  /** Since when all answers of an owner have been late, ms since the epoch. */
  readonly #lateSinceMs = new Map<string, number>();
  /** When each owner was last reported, ms since the epoch. */
  readonly #reportedMs = new Map<string, number>();

  /** @param report tells of an owner that is being skipped */
  constructor(options: CallOptions, report: (owner: string) => void = () => {}) {
    this.#options = {
      ...options,
      onLateAnswer: (owner, tookMs) => this.#answeredLate(owner, tookMs),
    };
    this.#report = report;
    const send = (owner: string, batch: Batch) => this.#send(owner, "check", batch);
    this.#batcher = new Batcher(send, options.runtime, options.deadlineMs);
  }

  /** Asks an owner about checks; undefined if it does not answer, or is being skipped. */
  async ask(owner: string, verb: Verb, batch: Batch): Promise<Answer | undefined> {
    if (!this.#breaker.admits(owner, this.#options.runtime.now())) return undefined;
    const { version, checks } = batch;
    const only = verb === "check" && checks.length === 1 ? checks[0] : undefined;
    try {
      if (only) return await this.#batcher.ask(owner, version, only);
      return await this.#send(owner, verb, batch);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      return undefined;
    }
  }

  /**
   * Calls an owner for an operator: with a longer deadline, and nothing that stands in for it.
   *
   * @throws {CallError} if it does not answer
   */
  callForOperator<Reply>(
    owner: string,
    call: (stub: CounterStub) => Promise<Reply>,
  ): Promise<Reply> {
    return callOwner(this.#operatorOptions, owner, call);
  }

  /** @throws {CallError} if it does not answer, or a verdict makes no sense */
  async askForOperator(owner: string, verb: Verb, batch: Batch): Promise<Answer> {
    const answer = await askOwner(this.#operatorOptions, owner, verb, batch);
    if (!answer.verdicts.some((each) => each?.length === 0)) return answer;
    throw new CallError("nonsense", "not an answer to all of the questions");
  }

  get #operatorOptions(): CallOptions {
    return { ...this.#options, deadlineMs: OPERATOR_DEADLINE_MS, onLateAnswer: undefined };
  }

  async #send(owner: string, verb: Verb, batch: Batch): Promise<Answer> {
    try {
      const answer = await askOwner(this.#options, owner, verb, batch);
      this.#breaker.succeeded(owner);
      if (this.#lateSinceMs.size > 0) this.#lateSinceMs.delete(owner);
      return answer;
    } catch (error) {
      if (error instanceof CallError) this.#failed(owner, error);
      throw error;
    }
  }

  /** Logs the failure, without the key that was asked about. */
  #failed(owner: string, { failure, message: detail }: CallError): void {
    if (failure === "wire-version") {
      // The owner answers, so there is nothing to skip or to report.
      this.#breaker.succeeded(owner);
      logSeldom("warn", "wire-version", owner, { owner, detail });
      return;
    }
    const nowMs = this.#options.runtime.now();
    const isLate = failure === "deadline";
    const { failures, isSkipped } = this.#breaker.failed(owner, nowMs, isLate);
    // The wrong class is in the log already. All owners have it, so a report would not help.
    if (failure === "wrong-class") return;
    if (isSkipped) this.#reportOnce(owner, nowMs);
    const fields = { owner, failure, detail, failuresInARow: failures };
    logSeldom("warn", "owner-failed", `${owner} ${failure}`, fields);
  }

  /**
   * Says in the log when the deadline is too short. An owner that is late once was cold or busy.
   * One that is late for seconds, and never in time, is farther away than the deadline allows. Each
   * isolate then counts by itself.
   */
  #answeredLate(owner: string, tookMs: number): void {
    const nowMs = this.#options.runtime.now();
    const sinceMs = this.#lateSinceMs.get(owner) ?? nowMs;
    this.#lateSinceMs.set(owner, sinceMs);
    if (nowMs - sinceMs < ALWAYS_LATE_MS) return;
    const { deadlineMs } = this.#options;
    logSeldom("warn", "deadline-too-short", owner, { owner, deadlineMs, tookMs });
  }

  #reportOnce(owner: string, nowMs: number): void {
    if (nowMs - (this.#reportedMs.get(owner) ?? 0) < REPORT_INTERVAL_MS) return;
    this.#reportedMs.set(owner, nowMs);
    this.#report(owner);
  }
}
