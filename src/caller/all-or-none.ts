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
 * So a client over its own limit can take little of a shared quota: in each isolate at most
 * `MAX_AT_ONCE` requests' cost at any moment, for one round trip.
 */
import type { Policy } from "../limit/policy.ts";
import { first53Bits } from "../ring/key-hash.ts";
import type { Asked, DenialCache } from "./denial-cache.ts";
import { isAllowed, type Reply } from "./question.ts";

/** How many requests of a client's own key may ask all of their keys at once. */
export const MAX_AT_ONCE = 2;

/** Parts of a key that tell one client from another. All other parts are shared. */
const OWN_PART = /^(?:ip$|header:|cookie:|query:|param:)/;
/** A network: narrower than what all clients share, wider than a client. */
const NETWORK_PART = /^ip\//;

/** A group of checks, and which of them are made when. */
interface Plan<Each> {
  group: readonly Each[];
  /** Indices in the group; those of one stage are asked at once. */
  stages: (readonly number[])[];
  /** By index in the group. */
  replies: (Reply | undefined)[];
  /** The client's own key, by `first53Bits`, if the request counts as under way. */
  underWay: number | undefined;
}

export class AllOrNone {
  readonly #denials: DenialCache;
  /** How many requests of a client's own key are under way, by `first53Bits`. */
  readonly #underWay = new Map<number, number>();

  /** @param denials what this isolate remembers of denials */
  constructor(denials: DenialCache) {
    this.#denials = denials;
  }

  /**
   * Makes the checks of each group in stages, until one of the group is denied.
   *
   * @returns the replies of each group, in order, without those never asked; and `toUndo`, the
   *   replies that passed in groups that did not
   */
  async run<Each extends Asked>(
    groups: readonly (readonly Each[])[],
    nowMs: number,
    check: (some: readonly Each[]) => Promise<Reply[]>,
  ): Promise<{ replies: Reply[][]; toUndo: Reply[] }> {
    const plans = groups.map((group) => this.#plan(group, nowMs));
    try {
      for (let stage = 0, left = plans; left.length > 0; stage++) {
        await checkStage(left, stage, check);
        left = left.filter(
          ({ stages, replies }) =>
            stage + 1 < stages.length && replies.every((reply) => !reply || isAllowed(reply)),
        );
      }
    } finally {
      for (const { underWay } of plans) if (underWay !== undefined) this.#count(underWay, -1);
    }
    const replies = plans.map((plan) => plan.replies.filter((reply) => reply !== undefined));
    const toUndo = replies.flatMap((each) => (each.every(isAllowed) ? [] : each.filter(isAllowed)));
    return { replies, toUndo };
  }

  #plan<Each extends Asked>(group: readonly Each[], nowMs: number): Plan<Each> {
    const all = [...group.keys()];
    const replies = new Array<Reply | undefined>(group.length).fill(undefined);
    const plan: Plan<Each> = { group, stages: [all], replies, underWay: undefined };
    // A single check is looked up when it is made.
    if (group.length < 2) return plan;
    const knownDenied = all.filter((at) => this.#denials.denies(group[at] as Each, nowMs));
    if (knownDenied.length > 0) return { ...plan, stages: [knownDenied] };
    // Narrow keys first; among them, those that were denied last time.
    let wereDenied = false;
    const ranks = group.map((each) => {
      const wasDenied = this.#denials.wasDenied(each);
      wereDenied ||= wasDenied;
      return 2 * breadthOf(each) + (wasDenied ? 0 : 1);
    });
    const narrowest = Math.min(...ranks);
    if (ranks.every((rank) => rank === narrowest)) return plan;
    plan.underWay = first53Bits((group[ranks.indexOf(narrowest)] as Each).key);
    const isCrowded = this.#count(plan.underWay, 1) > MAX_AT_ONCE;
    if (!isCrowded && !wereDenied) return plan;
    const stages = [...Map.groupBy(all, (at) => ranks[at] as number)];
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

async function checkStage<Each>(
  plans: readonly Plan<Each>[],
  stage: number,
  check: (some: readonly Each[]) => Promise<Reply[]>,
): Promise<void> {
  const some = plans.flatMap(({ group, stages }) =>
    (stages[stage] ?? []).map((index) => group[index] as Each),
  );
  const answered = (await check(some)).values();
  for (const { stages, replies } of plans) {
    for (const index of stages[stage] ?? []) replies[index] = answered.next().value;
  }
}

/** The breadth of keys, by the list of a key's parts, which is the same object in each request. */
const breadths = new WeakMap<readonly string[], number>();

/** Returns 0 for a client's own key, 1 for a network's, 2 for one that all clients share. */
function breadthOf({ policies }: Asked): number {
  const { key } = policies[0] as Policy;
  let breadth = breadths.get(key);
  if (breadth === undefined) {
    const has = (pattern: RegExp) => key.some((part) => pattern.test(part));
    breadth = has(OWN_PART) ? 0 : has(NETWORK_PART) ? 1 : 2;
    breadths.set(key, breadth);
  }
  return breadth;
}
