/** The caller of the test kit: the real one, with a list of its calls, and keys that it denies. */
import { upTo } from "../caller/at-most.ts";
import { Caller, type CallerOptions } from "../caller/caller.ts";
import type { ExplainedKey, Question, Reply, Returned } from "../caller/question.ts";
import type { Policy } from "../limit/policy.ts";

/** A call that the app made of a limiter. */
export interface Call {
  verb:
    | "check"
    | "peek"
    | "refund"
    | "settle"
    | "reset"
    | "block"
    | "unblock"
    | "override"
    | "explain";
  /** The key's parts: an address, say, or what the policy's `key` names. */
  key: readonly string[];
  /** Names of the policies. A block has none: it is for all of them. */
  policies: readonly string[];
  /** Units that were asked for. */
  cost: number;
  /** Whether the check passed; absent for a call that decides nothing. */
  allowed?: boolean;
}

/** A quota that the test wants used up. Undefined means every key, or every policy. */
interface Denial {
  key: readonly string[] | undefined;
  policy: string | undefined;
  /** The policies and keys whose quota is used up already. */
  done: Set<string>;
}

export class RecordingCaller extends Caller {
  readonly #options: CallerOptions;
  #caller: Caller;
  #calls: Call[] = [];
  #denials: Denial[] = [];

  constructor(options: CallerOptions) {
    super(options);
    this.#options = options;
    this.#caller = new Caller(options);
  }

  get calls(): readonly Call[] {
    return this.#calls;
  }

  /** Forgets the calls, the denials, and what the caller remembers. */
  restart(): void {
    this.#caller = new Caller(this.#options);
    this.#calls = [];
    this.#denials = [];
  }

  /** Uses up a key's quota before its next call. Leases are forgotten, so owners decide. */
  deny(key: readonly string[] | undefined, policy: string | undefined): void {
    this.#caller = new Caller(this.#options);
    this.#denials.push({ key, policy, done: new Set() });
  }

  override async check(questions: readonly Question[]): Promise<Reply[]> {
    await this.#useUp(questions);
    return this.#note("check", await this.#caller.check(questions));
  }

  override async checkAllOrNone(groups: readonly (readonly Question[])[]): Promise<Reply[][]> {
    await this.#useUp(groups.flat());
    const replies = await this.#caller.checkAllOrNone(groups);
    this.#note("check", replies.flat());
    return replies;
  }

  override async peek(questions: readonly Question[]): Promise<Reply[]> {
    await this.#useUp(questions);
    return this.#note("peek", await this.#caller.peek(questions));
  }

  override async undo(replies: readonly Reply[]): Promise<void> {
    for (const { question } of replies) this.#record("refund", question);
    return this.#caller.undo(replies);
  }

  override async refund(returned: readonly Returned[]): Promise<Reply[]> {
    return this.#note("refund", await this.#caller.refund(returned));
  }

  override async settle(settlements: readonly Returned[]) {
    return this.#note("settle", await this.#caller.settle(settlements));
  }

  override async reset(questions: readonly Question[]): Promise<void> {
    for (const question of questions) this.#record("reset", question);
    return this.#caller.reset(questions);
  }

  override async block(key: readonly string[], durationMs: number): Promise<void> {
    this.#record("block", { key, policies: [] });
    return this.#caller.block(key, durationMs);
  }

  override async unblock(key: readonly string[]): Promise<void> {
    this.#record("unblock", { key, policies: [] });
    return this.#caller.unblock(key);
  }

  override async override(question: Question, limit: number | null, durationMs?: number) {
    this.#record("override", question);
    return this.#caller.override(question, limit, durationMs);
  }

  override async explain(questions: readonly Question[]): Promise<ExplainedKey[]> {
    for (const question of questions) this.#record("explain", question);
    return this.#caller.explain(questions);
  }

  #note<Each extends Reply>(verb: Call["verb"], replies: Each[]): Each[] {
    for (const { question, decisions } of replies) {
      this.#record(verb, question, { allowed: decisions.every(({ allowed }) => allowed) });
    }
    return replies;
  }

  #record(
    verb: Call["verb"],
    { key, policies }: Pick<Question, "key" | "policies">,
    outcome: Pick<Call, "allowed"> = {},
  ): void {
    const names = policies.map(({ name }) => name);
    this.#calls.push({ verb, key, policies: names, cost: policies[0]?.cost ?? 0, ...outcome });
  }

  async #useUp(questions: readonly Question[]): Promise<void> {
    for (const { key, policies, region } of questions) {
      const denied = policies.filter((policy) => this.#isToDeny(key, policy));
      // One check for each policy: under several, it takes the least that one of them has left.
      for (const policy of denied) {
        const all = { ...upTo(policy, policy.capacity), lease: 0 };
        await this.#caller.check([{ key, policies: [all], region }]);
      }
    }
  }

  /** Returns true, once for each denial, if the key's quota under this policy must be used up. */
  #isToDeny(key: readonly string[], { name, capacity }: Policy): boolean {
    const place = JSON.stringify([name, key]);
    const due = this.#denials.filter(
      (denial) =>
        (denial.key === undefined || isSame(denial.key, key)) &&
        (denial.policy === undefined || denial.policy === name) &&
        !denial.done.has(place),
    );
    for (const { done } of due) done.add(place);
    return due.length > 0 && capacity > 0;
  }
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, at) => part === other[at]);
}
