/**
 * What was asked, counted and decided, seen from outside, and the invariants that follow from it.
 *
 * The ledger has an account for each key and policy. It does not know how the protocol works.
 */
import type { Reply } from "../../src/caller/question.ts";
import type { Check, CounterPolicy } from "../../src/counters/check.ts";
import type { Verdict } from "../../src/limit/decision.ts";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import type { Batch } from "../../src/protocol/wire.ts";
import type { Answer } from "../../src/protocol/wire-answer.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";
import { MOST_COMMIT_MS } from "./disk.ts";
import type { Machine } from "./machine.ts";
import { Rings } from "./rings.ts";
import { hashText, SUBJECTS, type Subject } from "./subjects.ts";
import { Tail } from "./tail.ts";

export interface Account {
  limit: number;
  /** Whether counts are on disk before anyone hears of them. */
  durable: boolean;
  /** Units that callers asked for. */
  asked: number;
  /** Units that owners let pass. */
  counted: number;
  /** Of these, units that an owner said to be exact. */
  countedExactly: number;
  /** Units that callers let pass. */
  passed: number;
  /** Of these, units that were said to be exact. */
  passedExactly: number;
  /** Units that an owner counted and its next life does not know of. */
  lost: number;
  /** Units that callers tried to give back. */
  returned: number;
  /** How often callers tried to reset the key. */
  resets: number;
}

/** The longest that counts are in memory alone: an interval, and the time of the write. */
const MOST_LOST_MS = CHECKPOINT_INTERVAL_MS + MOST_COMMIT_MS;

export class Ledger {
  /** The first violation of an invariant. */
  violation: string | undefined;
  /** Accounts by half of the key's hash, which is enough here, and by the policy's name. */
  readonly #accounts = new Map<number, Map<string, Account>>();
  /** Keys whose callers have heard that they are blocked. */
  readonly #blocked = new Set<string>();
  /** Keys whose block may be lost, or unknown to an owner that decides on them. */
  readonly #unblocked = new Set<string>();
  /** The entries made for checks that are sent twice, by kind and `requestId`. */
  readonly #entered = new Set<string>();
  readonly #rings = new Rings();
  readonly #tails = new Map<Machine, Tail>();
  readonly #onViolation: (text: string) => void;

  constructor(onViolation: (text: string) => void) {
    this.#onViolation = onViolation;
  }

  account({ lo }: KeyHash, policy: string): Account {
    const account = this.#accounts.get(lo)?.get(policy);
    if (!account) throw new RangeError(`nobody asks for ${policy}`);
    return account;
  }

  open({ hash, policies }: Subject): void {
    const accounts = new Map<string, Account>();
    for (const { name, limit, durable } of policies) {
      const none = { asked: 0, counted: 0, countedExactly: 0, passed: 0, passedExactly: 0 };
      accounts.set(name, { limit, durable, ...none, lost: 0, returned: 0, resets: 0 });
    }
    this.#accounts.set(hash.lo, accounts);
  }

  violated(text: string): void {
    if (this.violation !== undefined) return;
    this.violation = text;
    this.#onViolation(text);
  }

  isBlocked(subject: Subject): boolean {
    return this.#blocked.has(hashText(subject.hash)) && !this.isDoubted(subject);
  }

  /** Returns true if an owner that decides on a key may not know what an operator set for it. */
  isDoubted({ hash }: Subject): boolean {
    return this.#unblocked.has(hashText(hash));
  }

  /** Enters that a caller has heard of a key's block. */
  blockConfirmed({ hash }: Subject): void {
    this.#blocked.add(hashText(hash));
  }

  /** Enters what an owner has counted. */
  counted(machine: Machine, check: Check, verdicts: readonly Verdict[]): void {
    const { key, policies, requestId } = check;
    const passes = verdicts.every(({ allowed }) => allowed) && this.#enters("counted", requestId);
    if (!machine.isSole) this.doubted(key);
    for (const [at, { name, limit, cost, algorithm }] of policies.entries()) {
      const account = this.account(key, name);
      if (passes) {
        account.counted += cost;
        if (!machine.isSole) account.lost += cost;
        else this.tail(machine).counted({ account, units: cost, atMs: machine.now() });
      }
      const spent = (verdicts[at]?.limit ?? limit) - (verdicts[at]?.remaining ?? 0);
      // Under another limit, a bucket's state means other units.
      const isScaled = account.resets > 0 && algorithm.endsWith("bucket");
      if (spent > account.counted && !isScaled) {
        this.violated(`${name}: ${spent} spent where ${account.counted} were ever counted`);
      }
      if (account.counted > account.asked) {
        this.violated(`${name}: ${account.counted} counted where ${account.asked} were asked for`);
      }
    }
  }

  /**
   * Enters that an owner was given units back, as if it had never counted them. If another life has
   * replaced the owner, that one still counts them.
   */
  returned(machine: Machine, { key, policies }: Check): void {
    for (const { name, cost } of policies) {
      const account = this.account(key, name);
      account.countedExactly -= cost;
      if (!machine.isSole) account.returned += cost;
    }
  }

  /** Enters that an owner may charge this many units for a hold. */
  settled({ key, policies }: Check, units: number): void {
    for (const { name } of policies) {
      const account = this.account(key, name);
      account.counted += units;
      account.asked += units;
    }
  }

  /** Enters that an owner has blocked a key. */
  blocked(machine: Machine, key: KeyHash): void {
    if (machine.isSole) this.tail(machine).blocked(hashText(key));
    else this.#unblocked.add(hashText(key));
  }

  /** Enters an owner's answer to a batch. */
  answered({ name: owner }: Machine, { version, checks }: Batch, answer: Answer): void {
    const { verdicts, inexact, ring } = answer;
    for (const [at, { key, policies, requestId }] of checks.entries()) {
      const each = verdicts[at];
      if (!each) continue;
      const wrong = this.#rings.decided(ring?.version ?? version, key, owner);
      if (wrong) this.violated(wrong);
      if (inexact?.[at] || !each.every(({ allowed }) => allowed)) continue;
      if (!this.#enters("answered", requestId)) continue;
      for (const policy of policies) {
        const account = this.account(key, policy.name);
        account.countedExactly += policy.cost;
        this.#compare(`${owner} counted of ${policy.name}`, account, account.countedExactly);
      }
    }
  }

  /** Enters what a caller is asked for. */
  asked({ hash }: Subject, policies: readonly Pick<CounterPolicy, "name" | "cost">[]): void {
    for (const { name, cost } of policies) this.account(hash, name).asked += cost;
  }

  /** Enters a caller's decision. @param wasBlocked whether the key was blocked when it was asked */
  decided(subject: Subject, { question, decisions }: Reply, wasBlocked: boolean): void {
    if (!decisions.every(({ allowed }) => allowed)) return;
    const isExact = decisions.every(({ exact }) => exact);
    const { requestId } = question;
    const isFirst = this.#enters("passed", requestId);
    const isFirstExact = isExact && this.#enters("passed exactly", requestId);
    // A repeated check gets its first answer, whatever came in between.
    if (isExact && isFirst && wasBlocked && this.isBlocked(subject)) {
      this.violated(`${question.key[0]} passes while it is blocked`);
    }
    for (const { name, cost } of question.policies) {
      const account = this.account(subject.hash, name);
      if (isFirst) account.passed += cost;
      if (!isFirstExact) continue;
      account.passedExactly += cost;
      this.#compare(`callers let pass of ${name}`, account, account.passedExactly, true);
    }
  }

  /** Enters a ring that an owner is sent. */
  told(record: RingRecord): void {
    const wrong = this.#rings.told(record);
    if (wrong) this.violated(wrong);
    for (const { owner, owners } of record.lost) {
      const ring = new Ring(owners);
      for (const { hash } of SUBJECTS) if (ring.ownerOf(hash) === owner) this.doubted(hash);
    }
  }

  /** Enters that an owner, or a life of one, that no block has reached may decide on a key. */
  doubted(key: KeyHash): void {
    this.#unblocked.add(hashText(key));
  }

  /** Returns true if a life has counted something that is not on disk. */
  owes(machine: Machine): boolean {
    const { entries, blocks } = this.tail(machine);
    return entries.length + blocks.length > 0;
  }

  /** Enters as lost what a life has counted and not put on disk. */
  died(machine: Machine): void {
    const { entries, blocks } = this.tail(machine);
    for (const { account, units, atMs } of entries) {
      account.lost += units;
      const ageMs = machine.now() - atMs;
      if (ageMs > MOST_LOST_MS) this.violated(`what was counted ${ageMs} ms ago is lost`);
    }
    for (const id of blocks) this.#unblocked.add(id);
    this.#tails.delete(machine);
  }

  tail(machine: Machine): Tail {
    const tail = this.#tails.get(machine) ?? new Tail();
    this.#tails.set(machine, tail);
    return tail;
  }

  /** Returns true for the first entry of a kind for a check. Without a `requestId` each is. */
  #enters(kind: string, requestId: number | undefined): boolean {
    if (requestId === undefined) return true;
    const entry = `${kind} ${requestId}`;
    const isFirst = !this.#entered.has(entry);
    this.#entered.add(entry);
    return isFirst;
  }

  /** @param keepsAll whether crashes lose none of these units */
  #compare(who: string, account: Account, units: number, keepsAll = false): void {
    const { limit, resets, returned, lost } = account;
    const most = limit * (1 + resets) + returned + (keepsAll ? 0 : lost);
    if (units <= most) return;
    this.violated(`${who} ${units} as exact, ${most} at most: ${JSON.stringify(account)}`);
  }
}
