/** What each policy decided about a request. */
import type { Reply } from "../../caller/question.ts";
import { type Decision, decisive } from "../../limit/decision.ts";
import type { Policy } from "../../limit/policy.ts";

/** A policy, and the decision that was made under it. */
export interface Ruling {
  policy: Policy;
  decision: Decision;
}

/** Returns one ruling for each policy. */
export function rulingsOf(replies: readonly Reply[]): Ruling[] {
  const rulings: Ruling[] = [];
  for (const { question, decisions } of replies) {
    for (let at = 0; at < decisions.length; at++) {
      const policy = question.policies[at] as Policy;
      const decision = decisions[at] as Decision;
      // A policy may have decided about several keys of a request.
      const known = replies.length > 1 && rulings.find((ruling) => ruling.policy === policy);
      if (known) known.decision = decisive([known.decision, decision]);
      else rulings.push({ policy, decision });
    }
  }
  return rulings;
}

/** Returns the ruling that decides about the request; see `decisive`. */
export function decidingRuling(rulings: readonly Ruling[]): Ruling {
  const decision = decisive(rulings.map((ruling) => ruling.decision));
  return rulings.find((ruling) => ruling.decision === decision) as Ruling;
}
