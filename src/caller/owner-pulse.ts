/**
 * When each owner was last heard of, and so how long an isolate may trust what it remembers.
 *
 * A memory (a denial or a lease) is trusted for `MAX_SILENCE_MS`. Each later answer of its owner,
 * about any key, extends the trust, as long as the owner's epoch stays the same. So one call renews
 * everything remembered of an owner. These begin an epoch: a block, an unblock, an override, a
 * reset, a new ring, a hold that ends by itself, and a refund or settlement that may end a denial.
 */

/** How long a memory is trusted after its owner was last heard of. */
export const MAX_SILENCE_MS = 5_000;
/** This long before trust runs out, one request asks again; otherwise all would ask at once. */
export const RENEWAL_MS = 250;

export interface Heard {
  /** When the call was sent, ms since the epoch; the owner decided then or later. */
  sentMs: number;
  /** See `Answer`. */
  epoch: number;
}

/** What an owner once answered, and what the trust in it depends on. */
export interface Memory {
  /** When the call was sent, ms since the epoch. */
  sentMs: number;
  /**
   * The owner's epoch then; undefined if later answers about other keys must not renew the trust.
   */
  epoch: number | undefined;
  lastHeard: Heard;
  /** Whether a request has been let through to renew the trust. */
  isRenewing: boolean;
}

export class OwnerPulse {
  readonly #last = new Map<string, Heard>();

  of(owner: string): Heard | undefined {
    return this.#last.get(owner);
  }

  /** Notes an answer. Leases share the object that `of` returns, so later answers update it. */
  hear(owner: string, epoch: number, sentMs: number): void {
    const last = this.#last.get(owner);
    if (!last) this.#last.set(owner, { sentMs, epoch });
    else if (sentMs >= last.sentMs) {
      last.sentMs = sentMs;
      last.epoch = epoch;
    }
  }
}

/** Returns when trust in a memory ends, ms since the epoch. */
export function trustedUntilMs({ sentMs, epoch, lastHeard }: Memory): number {
  return MAX_SILENCE_MS + (lastHeard.epoch === epoch ? lastHeard.sentMs : sentMs);
}

/** Returns true if trust in the memory runs out soon and no request was sent to renew it. */
export function isDue(memory: Memory, nowMs: number): boolean {
  return !memory.isRenewing && nowMs >= trustedUntilMs(memory) - RENEWAL_MS;
}
