/**
 * What the owners answer to checks, peeks and refunds, or the fallback in place of one that is
 * silent. What they decide on checks is noted for `LocalAnswers`.
 */
import type { Source } from "../limit/decision.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import type { Runtime } from "../runtime.ts";
import type { Verb } from "./call.ts";
import { type Dispatched, dispatch } from "./dispatch.ts";
import { Fallback } from "./fallback.ts";
import { NO_LEASE } from "./leases.ts";
import type { LocalAnswers } from "./local-answers.ts";
import { batchOf, checkOf, type Message } from "./message.ts";
import type { OwnerClient } from "./owner-client.ts";
import type { Reply } from "./question.ts";
import { isAnswered, ownerReply } from "./results.ts";
import type { Router } from "./router.ts";

export interface OwnerAnswersOptions {
  client: OwnerClient;
  router: Router;
  local: LocalAnswers;
  runtime: Runtime;
}

export class OwnerAnswers {
  readonly #options: OwnerAnswersOptions;
  readonly fallback = new Fallback();

  constructor(options: OwnerAnswersOptions) {
    this.#options = options;
  }

  /**
   * Asks about checks, and puts the replies in place. An owner that is silent leaves a gap.
   *
   * @param mayLease whether hot keys ask for a slice
   */
  async check(
    messages: readonly Message[],
    replies: (Reply | undefined)[],
    mayLease = true,
  ): Promise<void> {
    const { local, runtime } = this.#options;
    const again: Message[] = [];
    const sentMs = runtime.now();
    const dispatched = await this.#send("check", messages, sentMs, mayLease);
    const receivedAtMs = runtime.now();
    for (const { message, answer, index } of dispatched) {
      if (!isAnswered(answer, index)) continue;
      const noted = local.note(message, answer, index, { sentMs, receivedAtMs });
      if (noted === "again") again.push({ ...message, lease: NO_LEASE });
      else replies[message.index] = noted ?? ownerReply(message, answer, index);
    }
    // Denied with a slice, and perhaps allowed without it. So a check is sent at most twice.
    if (again.length > 0) await this.check(again, replies, false);
  }

  /** Returns the fallback's reply in place of an owner's. */
  standIn(verb: "check" | "peek", message: Message): Reply {
    return this.fallback.reply(verb, message, this.#options.runtime.now());
  }

  /** Asks without looking at leases and denials here. */
  async ask(verb: "peek" | "refund", messages: readonly Message[]): Promise<Reply[]> {
    const { local, runtime } = this.#options;
    const replies = new Array<Reply>(messages.length);
    for (const { message, answer, index } of await this.#send(verb, messages, runtime.now())) {
      if (verb === "refund") local.denials.forget(message.key, message.owner);
      replies[message.index] = isAnswered(answer, index)
        ? ownerReply(message, answer, index)
        : this.standIn("peek", message);
    }
    return replies;
  }

  /** Takes back what was spent on a message here, by the fallback or by a lease. */
  undo(message: Message, source: Source): void {
    const { local, runtime } = this.#options;
    const nowMs = runtime.now();
    if (source === "fallback") this.fallback.refund(checkOf(message), nowMs);
    if (source === "lease") local.leases.undo(message, nowMs);
  }

  #send(
    verb: Verb,
    messages: readonly Message[],
    sentMs: number,
    mayLease = false,
  ): Promise<Dispatched<Message, Answer>[]> {
    const { client, local, router } = this.#options;
    return dispatch(router, messages, async (owner, batch) => {
      // Asked for each owner anew: a key that has moved has no lease at its new owner.
      if (mayLease) {
        for (const message of batch) message.lease = local.leaseRequest(message, sentMs);
      }
      const answer = await client.ask(owner, verb, batchOf(batch));
      if (answer) local.pulse.hear(owner, answer.epoch, sentMs);
      return answer;
    });
  }
}
