/**
 * Checks several keys, all or none, and decides which are asked first.
 *
 * As a rule, all keys of a request are asked at once: one after the other would add a round trip
 * for each. If one denies, the others give back what they took. Three exceptions keep denied
 * requests from starving a quota that clients share:
 * - If a denial of one key is remembered, no other key is asked.
 * - If a remembered denial may be over, its key is asked first, and the others only if it passes.
 * - The same order holds while `MAX_AT_ONCE` requests of a client's own key are under way.
 *
 * So in each isolate, the doomed requests of one client hold at most `MAX_AT_ONCE` times their cost
 * of a shared quota at any moment, for one round trip.
 */
import type { Policy } from "../limit/policy.ts";
import { mapKey } from "../ring/key-hash.ts";
import type { Runtime } from "../runtime.ts";
import type { Asked, DenialCache } from "./denial-cache.ts";
import { isAllowed, type Question, type Reply } from "./question.ts";

/** How many requests of a client's own key may ask all of their keys at once. */
export const MAX_AT_ONCE = 2;

/** Parts of a key that tell one client from another. All other parts are shared. */
const OWN_PART = /^(?:ip$|header:|cookie:|query:|param:)/;
/** A network: narrower than what all clients share, wider than a client. */
const NETWORK_PART = /^ip\//;

export interface TakingOptions {
  runtime: Pick<Runtime, "now" | "keepAlive">;
  denials: DenialCache;
  address: (question: Question) => Asked;
  check: (questions: readonly Question[]) => Promise<Reply[]>;
  giveBack: (replies: readonly Reply[]) => Promise<void>;
}

/** A group of questions, and which of them are asked when. */
interface Plan {
  group: readonly Question[];
  /** Indices in the group; those of one stage are asked at once. */
  stages: (readonly number[])[];
  /** By index in the group. */
  replies: (Reply | undefined)[];
  /** The client's own key, by `mapKey`, if the request counts as under way. */
  underWay: number | undefined;
}

export class Taking {
  readonly #options: TakingOptions;
  /** How many requests of a client's own key are under way, by `mapKey`. */
  readonly #underWay = new Map<number, number>();

  constructor(options: TakingOptions) {
    this.#options = options;
  }

  /** As {@link Caller.take}. */
  take(groups: readonly (readonly Question[])[]): Promise<Reply[][]> {
    const taken = this.#take(groups.map((group) => this.#plan(group)));
    // A denied request gives back what it took even if its client leaves.
    if (groups.some(({ length }) => length > 1)) {
      this.#options.runtime.keepAlive(taken.catch(() => {}));
    }
    return taken;
  }

  async #take(plans: readonly Plan[]): Promise<Reply[][]> {
    try {
      for (let stage = 0, left = [...plans]; left.length > 0; stage++) {
        await this.#ask(left, stage);
        left = left.filter(
          ({ stages, replies }) =>
            stage + 1 < stages.length && replies.every((reply) => !reply || isAllowed(reply)),
        );
      }
    } finally {
      for (const { underWay } of plans) if (underWay !== undefined) this.#count(underWay, -1);
    }
    const taken = plans.map(({ replies }) => replies.filter((reply) => reply !== undefined));
    const vain = taken.flatMap((group) => (group.every(isAllowed) ? [] : group.filter(isAllowed)));
    if (vain.length > 0) await this.#options.giveBack(vain);
    return taken;
  }

  async #ask(plans: readonly Plan[], stage: number): Promise<void> {
    const questions: Question[] = [];
    for (const { group, stages } of plans) {
      for (const place of stages[stage] ?? []) questions.push(group[place] as Question);
    }
    const answered = (await this.#options.check(questions)).values();
    for (const { stages, replies } of plans) {
      for (const place of stages[stage] ?? []) replies[place] = answered.next().value;
    }
  }

  #plan(group: readonly Question[]): Plan {
    const places = [...group.keys()];
    const replies = new Array<Reply | undefined>(group.length).fill(undefined);
    const plan: Plan = { group, stages: [places], replies, underWay: undefined };
    // A question that is alone is looked up in `check`.
    if (group.length < 2) return plan;
    const { denials, address, runtime } = this.#options;
    const asked = group.map(address);
    const nowMs = runtime.now();
    const hopeless = places.filter((at) => denials.denies(asked[at] as Asked, nowMs));
    if (hopeless.length > 0) return { ...plan, stages: [hopeless] };
    // Narrow keys first; among them, those that were denied last time.
    let isSuspected = false;
    const ranks = group.map((question, at) => {
      const suspected = denials.suspects(asked[at] as Asked);
      isSuspected ||= suspected;
      return 2 * breadthOf(question) + (suspected ? 0 : 1);
    });
    const narrowest = Math.min(...ranks);
    if (ranks.every((rank) => rank === narrowest)) return plan;
    plan.underWay = mapKey((asked[ranks.indexOf(narrowest)] as Asked).key);
    const isCrowded = this.#count(plan.underWay, 1) > MAX_AT_ONCE;
    if (!isCrowded && !isSuspected) return plan;
    const stages = [...Map.groupBy(places, (at) => ranks[at] as number)];
    stages.sort(([one], [other]) => one - other);
    return { ...plan, stages: stages.map(([, stage]) => stage) };
  }

  #count(own: number, by: number): number {
    const count = (this.#underWay.get(own) ?? 0) + by;
    if (count > 0) this.#underWay.set(own, count);
    else this.#underWay.delete(own);
    return count;
  }
}

/** By the list of a key's parts, which is the same object in each request. */
const breadths = new WeakMap<readonly string[], number>();

/** 0 for a client's own key, 1 for a network's, 2 for what all clients share. */
function breadthOf({ policies }: Question): number {
  const { key } = policies[0] as Policy;
  let breadth = breadths.get(key);
  if (breadth === undefined) {
    const has = (pattern: RegExp) => key.some((part) => pattern.test(part));
    breadth = has(OWN_PART) ? 0 : has(NETWORK_PART) ? 1 : 2;
    breadths.set(key, breadth);
  }
  return breadth;
}
