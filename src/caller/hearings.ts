/**
 * What was last heard of each owner: how long an isolate may go by what it remembers of one.
 *
 * A memory (a denial, a lease) is believed for `MAX_SILENCE_MS`. It is believed for longer while its
 * owner is heard of, about any key, in the same epoch: one call renews all memories of an owner. A
 * block, an unblock, a reset, a new ring, and a refund to a key that had nothing left begin an epoch.
 */

/** How long a memory is believed after its owner was last heard of. */
export const MAX_SILENCE_MS = 5_000;
/** This long before that, one request asks again; otherwise all requests would ask at once. */
export const RENEWAL_MS = 250;

export interface Hearing {
  /** When the call was sent, ms since the epoch; the owner decided then or later. */
  sentMs: number;
  /** See `Answer`. */
  epoch: number;
}

/** Something that an owner said. */
export interface Memory {
  /** When it was asked for, ms since the epoch. */
  sentMs: number;
  /** The owner's epoch then; undefined where later answers about other keys renew nothing. */
  epoch: number | undefined;
  lastHeard: Hearing;
  /** Has a request been let through to ask again? */
  isAskedAgain: boolean;
}

export class Hearings {
  readonly #last = new Map<string, Hearing>();

  /** What was last heard of an owner. */
  of(owner: string): Hearing | undefined {
    return this.#last.get(owner);
  }

  /** Notes an answer, and returns what was last heard of its owner; the same object each time. */
  hear(owner: string, epoch: number, sentMs: number): Hearing {
    const last = this.#last.get(owner);
    if (last && sentMs >= last.sentMs) {
      last.sentMs = sentMs;
      last.epoch = epoch;
    }
    if (last) return last;
    const first = { sentMs, epoch };
    this.#last.set(owner, first);
    return first;
  }
}

/** Returns when a memory is no longer believed, ms since the epoch. */
export function believedUntilMs({ sentMs, epoch, lastHeard }: Memory): number {
  return MAX_SILENCE_MS + (lastHeard.epoch === epoch ? lastHeard.sentMs : sentMs);
}

/** Will the memory soon be believed no more, and has no request asked again? */
export function isDue(memory: Memory, nowMs: number): boolean {
  return !memory.isAskedAgain && nowMs >= believedUntilMs(memory) - RENEWAL_MS;
}
