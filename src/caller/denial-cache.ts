/**
 * Remembers denials in this isolate, so that a client over its limit costs no calls.
 *
 * A remembered denial is as exact as the owner's, with one exception: after a reset, a refund or an
 * unblock elsewhere, this isolate goes on denying for at most `MAX_DENIAL_MS`, and under a `charge`
 * that looks at responses for at most `MAX_CHARGED_DENIAL_MS`. What this isolate gives back itself
 * it forgets at once. A denial by `concurrency` is not believed at all, since a slot is freed at any
 * moment; it only makes its key suspect.
 *
 * Everything is kept as numbers, a list for each key, within a bound of bytes.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { type KeyHash, mapKey } from "../ring/key-hash.ts";
import * as denial from "./denial.ts";
import { Hearings, MAX_SILENCE_MS } from "./hearings.ts";
import { PolicyNumbers } from "./policy-numbers.ts";

/** The longest that a denial is believed after its owner was last heard of. */
export const MAX_DENIAL_MS = MAX_SILENCE_MS;
/** The same where responses decide on the charge: what one returns may let the next pass. */
export const MAX_CHARGED_DENIAL_MS = 1_000;
/**
 * What all denials take, as counted here; 24 to 27 MB of the isolate's 128, measured. That is 100,000
 * denials under one policy each, or 22,000 under 16.
 */
export const MAX_DENIAL_BYTES = 24_000_000;
/** The list and its place in the map, beside its numbers. */
const LIST_BYTES = 100;
const NUMBER_BYTES = 8;
/** Denials of one key under different policies; the oldest goes first. */
const MAX_OF_KEY = 8;
/** Keys share the counts of what was forgotten: some denials that arrive meanwhile are not kept. */
const GENERATIONS = 1_024;

/** What was asked of whom. */
export interface Asked {
  key: KeyHash;
  owner: string;
  policies: readonly Policy[];
}

export class DenialCache {
  /** The denials of each key one after the other, the oldest key first, by `mapKey`. */
  readonly #denials = new Map<number, number[]>();
  readonly #hearings: Hearings;
  readonly #policies = new PolicyNumbers();
  readonly #owners = new Map<string, number>();
  readonly #generations = new Uint32Array(GENERATIONS);
  readonly #maxBytes: number;
  #bytes = 0;

  /** @param hearings what else this isolate hears of owners */
  constructor(hearings = new Hearings(), maxBytes = MAX_DENIAL_BYTES) {
    this.#hearings = hearings;
    this.#maxBytes = maxBytes;
  }

  /** Keys with a denial. */
  get size(): number {
    return this.#denials.size;
  }

  /** About what is taken, as `MAX_DENIAL_BYTES` bounds it. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Counts what was forgotten of a key. A denial that was on its way meanwhile is not to be kept.
   */
  generationOf({ lo }: KeyHash): number {
    return this.#generations[lo % GENERATIONS] as number;
  }

  /** Is it known that this would be denied, and not due to be asked again? Changes nothing. */
  denies(asked: Asked, nowMs: number): boolean {
    const list = this.#denials.get(mapKey(asked.key));
    const at = list ? this.#find(list, asked) : -1;
    if (!list || at < 0) return false;
    const untilMs = this.#untilMs(list, at, asked.owner);
    return denial.isBelieved(list, at, untilMs, nowMs) && !denial.isDue(list, at, untilMs, nowMs);
  }

  /** Was this denied when it was last asked about, however long ago that is? */
  suspects(asked: Asked): boolean {
    const list = this.#denials.get(mapKey(asked.key));
    return list !== undefined && this.#find(list, asked) >= 0;
  }

  /** Returns the verdicts if it is known that this would be denied, with durations as of now. */
  find(asked: Asked, nowMs: number): Verdict[] | undefined {
    const list = this.#denials.get(mapKey(asked.key));
    if (!list) return undefined;
    const at = this.#find(list, asked);
    if (at < 0) return undefined;
    const untilMs = this.#untilMs(list, at, asked.owner);
    if (!denial.isBelieved(list, at, untilMs, nowMs)) return undefined;
    if (!denial.isDue(list, at, untilMs, nowMs)) return denial.verdictsOf(list, at, nowMs);
    denial.noteAsked(list, at);
    return undefined;
  }

  /**
   * Notes what an owner said: a denial is remembered if only time can change it, until what was
   * denied passes.
   *
   * @param when the check was sent, from when on the owner counted, with the `generationOf` its key
   *   at that time, and when the answer was heard
   */
  add(
    asked: Asked,
    verdicts: readonly Verdict[],
    when: { sentMs: number; epoch: number; heardMs: number; generation: number },
  ): void {
    const { key, owner, policies } = asked;
    const { sentMs, epoch, heardMs, generation } = when;
    this.#hearings.hear(owner, epoch, sentMs);
    const id = mapKey(key);
    const known = this.#denials.get(id);
    const denies = verdicts.some(({ allowed }) => !allowed);
    if (!known && !denies) return;
    // What passes elsewhere, or under other policies, says nothing of the rest.
    const others = known ? this.#without(known, asked) : [];
    if (known) this.#drop(id, known);
    if (denies && generation === this.generationOf(key)) {
      const isRenewed = policies.every((policy, at) => isRenewable(policy, verdicts[at]));
      const denied = {
        key,
        owner: this.#numberOf(owner),
        policies: policies.map((policy) => this.#policies.of(policy)),
        costs: policies.map(({ cost }) => cost),
        verdicts,
        sentMs,
        epoch: isRenewed ? epoch : Number.NaN,
        trustMs: trustMs(policies, verdicts),
        heardMs,
      };
      denial.append(others, denied);
    }
    if (others.length > 0) this.#put(id, others);
    this.#makeRoom(heardMs);
  }

  /** @param owner whose denials they are; left out: of all owners */
  forget(key: KeyHash, owner?: string): void {
    const place = key.lo % GENERATIONS;
    this.#generations[place] = (this.#generations[place] as number) + 1;
    const id = mapKey(key);
    const known = this.#denials.get(id);
    if (!known) return;
    this.#drop(id, known);
    const number = owner === undefined ? -1 : this.#numberOf(owner);
    const left = denial
      .places(known)
      .flatMap((at) =>
        owner === undefined || denial.ownerAt(known, at) === number ? [] : denial.copy(known, at),
      );
    if (left.length > 0) this.#put(id, left);
  }

  /** Returns where in the list this check, or a cheaper one, was denied; −1 if nowhere. */
  #find(list: readonly number[], asked: Asked): number {
    for (let at = 0; at < list.length; at = denial.next(list, at)) {
      if (!this.#isAlike(list, at, asked)) continue;
      if (denial.isCovered(list, at, asked.policies)) return at;
    }
    return -1;
  }

  /** Is it of the same key and owner, under the same policies? Their costs may differ. */
  #isAlike(list: readonly number[], at: number, { key, owner, policies }: Asked): boolean {
    const number = this.#owners.get(owner);
    if (number === undefined || !denial.isOf(list, at, key, number, policies.length)) return false;
    for (let place = 0; place < policies.length; place++) {
      const policy = policies[place] as Policy;
      if (denial.policyAt(list, at, place) !== this.#policies.of(policy)) return false;
    }
    return true;
  }

  /** The denials that stay when another answer about this is there. */
  #without(list: readonly number[], asked: Asked): number[] {
    const kept = denial.places(list).filter((at) => !this.#isAlike(list, at, asked));
    return kept.slice(-(MAX_OF_KEY - 1)).flatMap((at) => denial.copy(list, at));
  }

  #untilMs(list: readonly number[], at: number, owner: string): number {
    return denial.untilMs(list, at, this.#hearings.of(owner));
  }

  #numberOf(owner: string): number {
    const number = this.#owners.get(owner) ?? this.#owners.size;
    this.#owners.set(owner, number);
    return number;
  }

  #put(id: number, list: number[]): void {
    // A copy, since a list that has grown keeps room to grow on.
    this.#denials.set(id, list.slice());
    this.#bytes += bytesOf(list);
  }

  #drop(id: number, list: readonly number[]): void {
    this.#denials.delete(id);
    this.#bytes -= bytesOf(list);
  }

  /** Lets go of the oldest, as long as there is too much or they are over. */
  #makeRoom(nowMs: number): void {
    if (this.#policies.isFull) {
      this.#policies.clear();
      this.#denials.clear();
      this.#bytes = 0;
    }
    for (const [oldest, list] of this.#denials) {
      if (this.#bytes <= this.#maxBytes && !denial.isOver(list, nowMs)) break;
      this.#drop(oldest, list);
    }
  }
}

/** How long it is believed: what denies may be given back, by any isolate. */
function trustMs(policies: readonly Policy[], verdicts: readonly Verdict[]): number {
  let ms = MAX_DENIAL_MS;
  for (const [at, { algorithm, charge }] of policies.entries()) {
    if (verdicts[at]?.reason !== "limited") continue;
    if (algorithm === "concurrency") return 0;
    if (charge !== "always") ms = MAX_CHARGED_DENIAL_MS;
  }
  return ms;
}

/**
 * Does an owner begin an epoch whenever this denial ends before its time? It does so where a refund
 * finds nothing left. What is left may be spent elsewhere, and an owner does not tell of that.
 */
function isRenewable({ cost, algorithm }: Policy, verdict?: Verdict): boolean {
  return verdict?.remaining === 0 && (cost === 1 || algorithm === "fixed-window");
}

function bytesOf(list: readonly number[]): number {
  return LIST_BYTES + list.length * NUMBER_BYTES;
}
