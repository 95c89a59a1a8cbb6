/**
 * The call that looks local: a key and its policies in, a decision out, wherever the counter lives.
 *
 * The way of a check: key hash → denial cache → ring → one call to the owner → or the fallback. One
 * instance serves an isolate. An owner that fails is no error here, unless nothing can stand in for
 * it (a reset).
 */
import type { Decision, Source, Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { Check } from "../owner/counters.ts";
import { type KeyHash, keyHasher } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import { Ring } from "../ring/ring.ts";
import { Breaker, OPEN_MS } from "./breaker.ts";
import { askOwner, CallError, callOwner, type OwnerNamespace } from "./call.ts";
import { DenialCache } from "./denial-cache.ts";
import { Fallback } from "./fallback.ts";

export interface CallerOptions {
  /** Where the owners are: the binding of the `RateLimiter` class. */
  owners: OwnerNamespace;
  /** Owners in each region, at least 1. */
  ownersPerRegion: number;
  /** The region of keys whose policies have the scope `global`. */
  homeRegion: Region;
  /** Keeps clients from choosing which owner they burden; the same in all callers. */
  hashSecret: string;
  /** How long to wait for an owner. Default 250 ms. */
  deadlineMs?: number;
}

/** A question about one key. */
export interface Question {
  /** Who is limited: parts such as address and route. */
  key: readonly string[];
  /** At least one, with distinct names and of one scope. */
  policies: readonly Policy[];
  /** Units, a whole number from 1 to the least of the limits. */
  cost: number;
  /** Where the request came from, for policies with the scope `region`. */
  region: Region;
}

/** A question that knows its way. */
interface Message {
  question: Question;
  check: Check;
  owner: string;
  /** Its place among the questions, and so in the answer. */
  index: number;
}

const DEFAULT_DEADLINE_MS = 250;

export class Caller {
  readonly #options: CallerOptions;
  readonly #deadlineMs: number;
  readonly #hash: (parts: readonly string[]) => KeyHash;
  readonly #rings = new Map<Region, Ring>();
  readonly #denials = new DenialCache();
  readonly #breaker = new Breaker();
  readonly #fallback = new Fallback();
  /** When each owner was last warned of, ms since the epoch. */
  readonly #warnedMs = new Map<string, number>();

  constructor(options: CallerOptions) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#hash = keyHasher(options.hashSecret);
  }

  /**
   * Spends each question's cost under all of its policies, or, if one of them denies, under none.
   *
   * @returns for each question a decision for each of its policies, in order
   */
  check(questions: readonly Question[]): Promise<Decision[][]> {
    return this.#ask("check", questions);
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek(questions: readonly Question[]): Promise<Decision[][]> {
    return this.#ask("peek", questions);
  }

  /**
   * Forgets what the keys spent under the policies asked about.
   *
   * Other isolates may go on denying for as long as their denial caches remember, at most 5 s.
   *
   * @throws {CallError} if an owner does not answer; what the others hold may be forgotten by then
   */
  async reset(questions: readonly Omit<Question, "cost">[]): Promise<void> {
    const messages = questions.map((question, index) =>
      this.#address({ ...question, cost: 0 }, index),
    );
    await this.#eachOwner(messages, async (owner, batch) => {
      const checks = batch.map(({ check }) => check);
      await this.#guard(owner, () =>
        callOwner(this.#options.owners, owner, this.#deadlineMs, (stub) => stub.reset(checks)),
      );
      for (const { key } of checks) this.#denials.forget(key);
    });
  }

  async #ask(verb: "check" | "peek", questions: readonly Question[]): Promise<Decision[][]> {
    const answers = new Array<Decision[]>(questions.length);
    const messages: Message[] = [];
    const sentMs = Date.now();
    for (const [index, question] of questions.entries()) {
      const message = this.#address(question, index);
      const { policies, cost } = question;
      // A peek has to tell what is left by now, which only the owner knows.
      const denial =
        verb === "check" && this.#denials.find(message.check.key, policies, cost, sentMs);
      if (denial) answers[index] = decide(policies, denial, "denial-cache");
      else messages.push(message);
    }
    await this.#eachOwner(messages, async (owner, batch) => {
      const verdicts = await this.#verdicts(verb, owner, batch);
      for (const [at, { question, check, index }] of batch.entries()) {
        const { policies, cost } = question;
        const given = verdicts?.[at];
        if (given && verb === "check") this.#denials.add(check.key, policies, cost, given, sentMs);
        answers[index] = given
          ? decide(policies, given, "owner")
          : this.#fallback.decide(verb, check, policies, Date.now());
      }
    });
    return answers;
  }

  /** Asks an owner; undefined if it does not answer. */
  async #verdicts(
    verb: "check" | "peek",
    owner: string,
    batch: readonly Message[],
  ): Promise<Verdict[][] | undefined> {
    const checks = batch.map(({ check }) => check);
    try {
      return await this.#guard(owner, () =>
        askOwner(this.#options.owners, owner, this.#deadlineMs, verb, checks),
      );
    } catch (error) {
      if (error instanceof CallError) return undefined;
      throw error;
    }
  }

  /** Makes a call unless the owner is being skipped, and keeps count of how calls to it end. */
  async #guard<Answer>(owner: string, call: () => Promise<Answer>): Promise<Answer> {
    if (!this.#breaker.admits(owner, Date.now())) {
      throw new CallError("skipped", `${owner} has failed too often to be asked right now`);
    }
    try {
      const answer = await call();
      this.#breaker.succeeded(owner);
      return answer;
    } catch (error) {
      if (error instanceof CallError) this.#failed(owner, error);
      throw error;
    }
  }

  /** Warns at most once in `OPEN_MS` for each owner, with no word of whose key it was. */
  #failed(owner: string, { failure, message }: CallError): void {
    const nowMs = Date.now();
    const failuresInARow = this.#breaker.failed(owner, nowMs);
    if (nowMs - (this.#warnedMs.get(owner) ?? 0) < OPEN_MS) return;
    this.#warnedMs.set(owner, nowMs);
    const warning = { event: "owner-failed", owner, failure, detail: message, failuresInARow };
    console.warn(JSON.stringify(warning));
  }

  async #eachOwner(
    messages: readonly Message[],
    deliver: (owner: string, batch: Message[]) => Promise<void>,
  ): Promise<void> {
    const batches = Map.groupBy(messages, ({ owner }) => owner);
    await Promise.all(Array.from(batches, ([owner, batch]) => deliver(owner, batch)));
  }

  #address(question: Question, index: number): Message {
    const key = this.#hash(question.key);
    const isGlobal = question.policies[0]?.scope === "global";
    const ring = this.#ring(isGlobal ? this.#options.homeRegion : question.region);
    return {
      question,
      index,
      owner: ring.ownerOf(key),
      check: {
        key,
        cost: question.cost,
        policies: question.policies.map(({ name, algorithm, limit, windowMs }) => ({
          name,
          algorithm,
          limit,
          windowMs,
        })),
      },
    };
  }

  #ring(region: Region): Ring {
    let ring = this.#rings.get(region);
    if (!ring) {
      const numbers = Array.from({ length: this.#options.ownersPerRegion }, (_, number) => number);
      ring = new Ring(numbers.map((number) => `${region}/${number}`));
      this.#rings.set(region, ring);
    }
    return ring;
  }
}

function decide(
  policies: readonly Policy[],
  verdicts: readonly Verdict[],
  source: Source,
): Decision[] {
  return policies.map((policy, index) => {
    const verdict = verdicts[index] as Verdict;
    return {
      ...verdict,
      policy: policy.name,
      limit: policy.limit,
      reason: verdict.allowed ? "ok" : "limited",
      source,
      exact: true,
    };
  });
}
