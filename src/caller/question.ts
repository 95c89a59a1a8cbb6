/** What a caller is asked, and what it replies. */

import type { Reservation, Settlement, WasHeld } from "../counters/check.ts";
import { type Decision, decisive } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { Explained } from "../protocol/rpc.ts";
import type { Region } from "../ring/region.ts";

export interface Question {
  /** Who is limited: parts such as address and route. */
  key: readonly string[];
  /** At least one, with distinct names and one scope. Each has its own cost. */
  policies: readonly Policy[];
  /** Where the request came from, for policies with the scope `region`. */
  region: Region;
  /**
   * A hash of the id that a client gave the check. If the check is repeated with that id within a
   * minute, the owner gives its first answer again and counts nothing.
   */
  requestId?: number;
  /** The hold to make under the policies that are `held`. */
  reserve?: Reservation;
  /** Whether it guards a call that spends nothing. Such a check is watched only if it is denied. */
  isGuard?: boolean;
}

/** A question and what became of it. */
export interface Reply {
  question: Question;
  /** One for each policy, in order. */
  decisions: Decision[];
  /** When it was counted, by the clock of the owner or isolate that did. A refund hands it back. */
  atMs: number;
}

/** Receives what an isolate's caller does. */
export interface Observer {
  /** Replies to checks, by an owner or by this isolate, and how long the checks took. */
  decided: (replies: readonly Reply[], tookMs: number) => void;
  /** All replies to a request, once, even if some were decided later than others. */
  requested: (replies: readonly Reply[]) => void;
  /** A call to an owner. */
  called: (owner: string) => void;
}

/** What was spent on a question, to be given back, or a hold to be settled. */
export interface Returned {
  question: Question;
  /** When it was spent, as in {@link Reply}; absent if unknown. */
  atMs?: number | undefined;
  /** The verdict's `resetMs` when it was spent, if there was one policy; absent if unknown. */
  resetMs?: number | undefined;
  settle?: Settlement;
}

/** What a settlement found: the state of the hold, and the decisions that `peek` gives now. */
export interface Settled extends Reply {
  was: WasHeld;
}

/** Why an owner decides on a key as it does. */
export interface ExplainedKey extends Explained {
  owner: string;
}

/** Returns the decision that counts among those on all policies and keys. */
export function decided(replies: readonly Reply[]): Decision {
  return decisive(replies.flatMap(({ decisions }) => decisions));
}

/** Groups results in a flat list as their questions are grouped. */
export function regroup<Said>(
  groups: readonly (readonly Question[])[],
  said: readonly Said[],
): (readonly Said[])[] {
  const each = said.values();
  return groups.map((group) => group.map(() => each.next().value as Said));
}

export function isAllowed({ decisions }: Reply): boolean {
  return decisions.every(({ allowed }) => allowed);
}
