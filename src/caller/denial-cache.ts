/**
 * Remembers denials in this isolate, so that a client over its limit costs no calls.
 *
 * A remembered denial is as exact as the owner's, with one exception: a refund, a reset, an unblock
 * or an override by another isolate. This one then goes on denying for at most `DENIAL_TRUST_MS`,
 * or `CHARGED_DENIAL_TRUST_MS` under a `charge` that looks at responses. One by this isolate ends
 * the denial at once. A denial by `concurrency` is never trusted, since a slot may be freed at any
 * moment; it only decides which keys are asked first.
 *
 * Denials are kept as numbers, in one list for each key, within a bound in bytes.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { first53Bits, type KeyHash } from "../ring/key-hash.ts";
import * as denial from "./denial.ts";
import { MAX_SILENCE_MS, OwnerPulse } from "./owner-pulse.ts";
import { PolicyNumbers } from "./policy-numbers.ts";

/** How long a denial is trusted after its owner was last heard of. */
export const DENIAL_TRUST_MS = MAX_SILENCE_MS;
/**
 * How long a denial is trusted if costs depend on responses, or are settled later: a cost that is
 * given back may let the next check pass.
 */
export const CHARGED_DENIAL_TRUST_MS = 1_000;
/**
 * The most bytes that all denials take, as counted here: 25 to 28 MB of the isolate's 128,
 * measured. That is 102,000 denials under one policy each, or 20,000 under 16.
 */
export const MAX_DENIAL_BYTES = 25_000_000;
/** Bytes of a list and its entry in the map, without the list's numbers. */
const LIST_BYTES = 100;
const NUMBER_BYTES = 8;
/**
 * The least time between two sweeps, and the part of the bound that a sweep leaves full. A `Map`
 * steps over its deleted entries, so a sweep removes many at once.
 */
const SWEEP_MS = 1_000;
const SWEPT_PART = 0.95;
/** The most denials of one key, under different policies. The oldest goes first. */
const MAX_OF_KEY = 64;
/**
 * How many counters of forgotten keys there are. Keys share them, so a denial that arrives while
 * another key is forgotten may not be kept.
 */
const GENERATIONS = 1_024;

/** A check as it is addressed to an owner. */
export interface Asked {
  key: KeyHash;
  owner: string;
  policies: readonly Policy[];
}

export class DenialCache {
  /**
   * The denials of each key, one after the other in a list, by `first53Bits`. The oldest key comes
   * first.
   */
  readonly #denials = new Map<number, number[]>();
  readonly #pulse: OwnerPulse;
  readonly #policies = new PolicyNumbers();
  readonly #owners = new Map<string, number>();
  readonly #generations = new Uint32Array(GENERATIONS);
  readonly #maxBytes: number;
  #bytes = 0;
  #sweptMs = 0;

  /** @param pulse when this isolate last heard of each owner */
  constructor(pulse = new OwnerPulse(), maxBytes = MAX_DENIAL_BYTES) {
    this.#pulse = pulse;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#denials.size;
  }

  /** Bytes that all denials take, roughly: what `MAX_DENIAL_BYTES` bounds. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Returns a number that changes when the key is forgotten. A denial that was under way then must
   * not be kept.
   */
  generationOf({ lo }: KeyHash): number {
    return this.#generations[lo % GENERATIONS] as number;
  }

  /**
   * Returns true if a trusted denial covers the check and needs no renewal yet. Changes nothing.
   */
  denies(asked: Asked, nowMs: number): boolean {
    return this.find(asked, nowMs, false) !== undefined;
  }

  /** Returns true if the last answer to this check was a denial, however long ago. */
  wasDenied(asked: Asked): boolean {
    const list = this.#denials.get(first53Bits(asked.key));
    return list !== undefined && this.#find(list, asked) >= 0;
  }

  /**
   * Returns the verdicts of a trusted denial, with durations as of now; undefined without one.
   * When the trust is about to run out, returns undefined once, so that one request renews it.
   *
   * @param isAsking whether the request renews it; one that only looks changes nothing
   */
  find(asked: Asked, nowMs: number, isAsking = true): Verdict[] | undefined {
    const list = this.#denials.get(first53Bits(asked.key));
    if (!list) return undefined;
    const at = this.#find(list, asked);
    if (at < 0) return undefined;
    const trustedUntilMs = this.#trustedUntilMs(list, at, asked.owner);
    if (!denial.isTrusted(list, at, trustedUntilMs, nowMs)) return undefined;
    if (!denial.isDue(list, at, trustedUntilMs, nowMs)) return denial.verdictsOf(list, at, nowMs);
    if (isAsking) denial.noteRenewing(list, at);
    return undefined;
  }

  /**
   * Notes what an owner answered. A denial is kept until time alone may change it; see
   * `DENIAL_TRUST_MS` for how long it is trusted.
   *
   * @param when `sentMs`: the check was sent. `receivedAtMs`: the answer arrived. `epoch` is the
   *   owner's, and `generation` what `generationOf` said of the key when the check was sent.
   */
  add(
    asked: Asked,
    verdicts: readonly Verdict[],
    when: { sentMs: number; epoch: number; receivedAtMs: number; generation: number },
  ): void {
    const { key, owner, policies } = asked;
    const { sentMs, epoch, receivedAtMs, generation } = when;
    const id = first53Bits(key);
    const known = this.#denials.get(id);
    const denies = verdicts.some(({ allowed }) => !allowed);
    if (!known && !denies) return;
    // This answer replaces only what the same owner said under the same policies.
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
        receivedAtMs,
      };
      denial.append(others, denied);
    }
    if (others.length > 0) this.#put(id, others);
    this.#makeRoom(receivedAtMs);
  }

  /** @param owner forgets only this owner's denials; all of them if left out */
  forget(key: KeyHash, owner?: string): void {
    const index = key.lo % GENERATIONS;
    this.#generations[index] = (this.#generations[index] as number) + 1;
    const id = first53Bits(key);
    const known = this.#denials.get(id);
    if (!known) return;
    this.#drop(id, known);
    const number = owner === undefined ? -1 : this.#numberOf(owner);
    const left = denial
      .offsets(known)
      .flatMap((at) =>
        owner === undefined || denial.ownerAt(known, at) === number ? [] : denial.copy(known, at),
      );
    if (left.length > 0) this.#put(id, left);
  }

  /** Returns the index of a denial of this check, or of a cheaper one; −1 without one. */
  #find(list: readonly number[], asked: Asked): number {
    for (let at = 0; at < list.length; at = denial.next(list, at)) {
      if (!this.#isAlike(list, at, asked)) continue;
      if (denial.isCovered(list, at, asked.policies)) return at;
    }
    return -1;
  }

  /** Returns true if the denial is of the same key, owner and policies. Their costs may differ. */
  #isAlike(list: readonly number[], at: number, { key, owner, policies }: Asked): boolean {
    const number = this.#owners.get(owner);
    if (number === undefined || !denial.isOf(list, at, key, number, policies.length)) return false;
    for (let index = 0; index < policies.length; index++) {
      const policy = policies[index] as Policy;
      if (denial.policyAt(list, at, index) !== this.#policies.of(policy)) return false;
    }
    return true;
  }

  /** Returns the denials that an answer to this check does not replace. */
  #without(list: readonly number[], asked: Asked): number[] {
    const kept = denial.offsets(list).filter((at) => !this.#isAlike(list, at, asked));
    return kept.slice(-(MAX_OF_KEY - 1)).flatMap((at) => denial.copy(list, at));
  }

  #trustedUntilMs(list: readonly number[], at: number, owner: string): number {
    return denial.trustedUntilMs(list, at, this.#pulse.of(owner));
  }

  #numberOf(owner: string): number {
    const number = this.#owners.get(owner) ?? this.#owners.size;
    this.#owners.set(owner, number);
    return number;
  }

  #put(id: number, list: number[]): void {
    // A copy is smaller: an array that has grown keeps spare room.
    this.#denials.set(id, list.slice());
    this.#bytes += bytesOf(list);
  }

  #drop(id: number, list: readonly number[]): void {
    this.#denials.delete(id);
    this.#bytes -= bytesOf(list);
  }

  /** Removes the oldest lists as long as they are over or exceed the bound, many at a time. */
  #makeRoom(nowMs: number): void {
    if (this.#policies.isFull) {
      this.#policies.clear();
      this.#denials.clear();
      this.#bytes = 0;
    }
    const isFull = this.#bytes > this.#maxBytes;
    if (!isFull && nowMs - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = nowMs;
    const mostBytes = isFull ? this.#maxBytes * SWEPT_PART : this.#maxBytes;
    for (const [oldest, list] of this.#denials) {
      if (this.#bytes <= mostBytes && !denial.isOver(list, nowMs)) break;
      this.#drop(oldest, list);
    }
  }
}

/** Returns how long a denial is trusted: less if any isolate may give back what causes it. */
function trustMs(policies: readonly Policy[], verdicts: readonly Verdict[]): number {
  let ms = DENIAL_TRUST_MS;
  for (const [at, { algorithm, charge, held }] of policies.entries()) {
    if (verdicts[at]?.reason !== "limited") continue;
    if (algorithm === "concurrency") return 0;
    if (charge !== "always" || held) ms = CHARGED_DENIAL_TRUST_MS;
  }
  return ms;
}

/**
 * Returns true if each refund that ends this denial also begins an epoch of its owner. Only a
 * refund that finds nothing left begins one. Where some units are left, a refund may end the denial
 * without an epoch.
 */
function isRenewable({ cost, algorithm }: Policy, verdict?: Verdict): boolean {
  return verdict?.remaining === 0 && (cost === 1 || algorithm === "fixed-window");
}

function bytesOf(list: readonly number[]): number {
  return LIST_BYTES + list.length * NUMBER_BYTES;
}
