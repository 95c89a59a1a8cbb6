/** What a caller is asked and what it replies. */

import type { Decision } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { Explained } from "../protocol/rpc.ts";
import type { Region } from "../ring/region.ts";

/** A question about one key. */
export interface Question {
  /** Who is limited: parts such as address and route. */
  key: readonly string[];
  /** At least one, with distinct names and of one scope; each says what it costs. */
  policies: readonly Policy[];
  /** Where the request came from, for policies with the scope `region`. */
  region: Region;
}

/** A question and what became of it. */
export interface Reply {
  question: Question;
  /** One for each policy, in order. */
  decisions: Decision[];
  /** The clock of whoever counted, which a refund hands back. */
  atMs: number;
}

/** What was spent on a question, to be given back. */
export interface Returned {
  question: Question;
  /** When by the clock of whoever counted; absent where that is not known. */
  atMs?: number | undefined;
  /** The verdict's of then, where there is one policy; absent where that is not known. */
  resetMs?: number | undefined;
}

/** Why a key is decided on as it is. */
export interface ExplainedKey extends Explained {
  owner: string;
}

export function isAllowed({ decisions }: Reply): boolean {
  return decisions.every(({ allowed }) => allowed);
}
