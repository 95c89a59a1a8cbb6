/**
 * What this isolate answers by itself, without a call: a lease pays, or a denial still holds.
 *
 * Both come from earlier answers of the key's owner, and are trusted for seconds after its last
 * one. A check with a `requestId` always goes to its owner, and its answer is not remembered here.
 */
import type { Answer } from "../protocol/wire-answer.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { DenialCache } from "./denial-cache.ts";
import { type LeaseRequest, Leases, NO_LEASE } from "./leases.ts";
import type { Message } from "./message.ts";
import { OwnerPulse } from "./owner-pulse.ts";
import type { Reply } from "./question.ts";
import { replyOf } from "./results.ts";

export class LocalAnswers {
  /** What was last heard of each owner. The caller notes each answer here. */
  readonly pulse = new OwnerPulse();
  readonly denials = new DenialCache(this.pulse);
  readonly leases = new Leases();

  /** Returns the reply to a check that needs no call. */
  find(message: Message, nowMs: number): Reply | undefined {
    if (mayBeRepeated(message)) return undefined;
    const leased = this.leases.spend(message, nowMs);
    if (leased) return replyOf(message.question, [leased], "lease", nowMs);
    const denial = this.denials.find(message, nowMs);
    return denial && replyOf(message.question, denial, "denial-cache", nowMs);
  }

  /** Returns what a check asks of its owner, and tells it, about leases. */
  leaseRequest(message: Message, nowMs: number): LeaseRequest {
    return mayBeRepeated(message) ? NO_LEASE : this.leases.request(message, nowMs);
  }

  /**
   * Notes what an owner decided on a check.
   *
   * @returns a reply by lease if the owner has nothing left but an earlier lease pays;
   *   `"again"` if the owner denied the check with a slice, and may allow it without
   */
  note(
    message: Message,
    answer: Answer,
    index: number,
    { sentMs, receivedAtMs }: { sentMs: number; receivedAtMs: number },
  ): Reply | "again" | undefined {
    if (mayBeRepeated(message)) return undefined;
    const { owner, lease, generation } = message;
    const { epoch, atMs, ring } = answer;
    const verdicts = answer.verdicts[index] ?? [];
    const lastHeard = this.pulse.of(owner) ?? { sentMs, epoch };
    const isEnded = answer.ended?.[index] ?? false;
    const { version } = ring ?? message;
    const heard = { sentMs, epoch, lastHeard, atMs, version, isEnded };
    this.leases.add(message, verdicts, lease, heard);
    if (verdicts[0]?.reason === "limited") {
      // The owner has nothing left, but it has just confirmed what it leased before.
      const leased = this.leases.spend(message, receivedAtMs);
      if (leased) return replyOf(message.question, [leased], "lease", receivedAtMs);
      if (lease.slice > 0) return "again";
    }
    this.denials.add(message, verdicts, { sentMs, epoch, receivedAtMs, generation });
    return undefined;
  }

  forget(key: KeyHash): void {
    this.denials.forget(key);
    this.leases.forget(key);
  }
}

/** Returns true for a check with a `requestId`: its answer may be that of an earlier try. */
function mayBeRepeated({ question }: Message): boolean {
  return question.requestId !== undefined;
}
