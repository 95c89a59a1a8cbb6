/**
 * The call that looks local: keys and their policies in, decisions out, wherever the counters live.
 *
 * The way of a check: key hash → denial cache → ring → one call to the owner → or the fallback. One
 * instance serves an isolate. An owner that fails is no error here, unless nothing can stand in for
 * it (a reset, a block).
 */
import type { Source } from "../limit/decision.ts";
import type { CounterNamespace } from "../protocol/rpc.ts";
import { type KeyHash, keyHasher } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";
import { withTaken } from "./at-most.ts";
import { DenialCache } from "./denial-cache.ts";
import { Fallback } from "./fallback.ts";
import { Hearings } from "./hearings.ts";
import { type LeaseRequest, Leases, NO_LEASE } from "./leases.ts";
import { checkOf, type Message } from "./message.ts";
import { Operator } from "./operator.ts";
import { Owners } from "./owners.ts";
import type { ExplainedKey, Question, Reply, Returned } from "./question.ts";
import { replyOf, spentIn } from "./reply.ts";
import { Routes } from "./routes.ts";
import { Taking } from "./taking.ts";

export interface CallerOptions {
  /** Where the owners are: the binding of the `RateLimiter` class. */
  owners: CounterNamespace;
  /** Owners in each region, at least 1. */
  ownersPerRegion: number;
  /** The region of keys whose policies have the scope `global`. */
  homeRegion: Region;
  /** Keeps clients from choosing which owner they burden; the same in all callers. */
  hashSecret: string;
  /** How long to wait for an owner. Default 250 ms. */
  deadlineMs?: number;
  runtime: Runtime;
  /** Tells the membership object of an owner that is out of reach. */
  reportFailure?: ((owner: string) => void) | undefined;
}

const DEFAULT_DEADLINE_MS = 250;

/** What is asked of owners that something can stand in for. */
type Asking = "check" | "peek" | "refund";

export class Caller {
  readonly #runtime: Runtime;
  readonly #owners: Owners;
  readonly #homeRegion: Region;
  readonly #hash: (parts: readonly string[]) => KeyHash;
  readonly #routes: Routes;
  readonly #operator: Operator;
  readonly #hearings = new Hearings();
  readonly #denials = new DenialCache(this.#hearings);
  readonly #leases = new Leases();
  readonly #fallback = new Fallback();
  readonly #taking: Taking;

  constructor(options: CallerOptions) {
    const { owners: namespace, runtime, deadlineMs = DEFAULT_DEADLINE_MS } = options;
    this.#runtime = runtime;
    this.#owners = new Owners(
      { namespace, runtime, deadlineMs },
      options.reportFailure ?? (() => {}),
    );
    this.#homeRegion = options.homeRegion;
    this.#hash = keyHasher(options.hashSecret);
    this.#routes = new Routes(options.ownersPerRegion);
    this.#operator = new Operator(this.#owners, this.#routes);
    this.#taking = new Taking({
      runtime,
      denials: this.#denials,
      address: (question) => this.#address(question, 0),
      check: (questions) => this.check(questions),
      giveBack: (replies) => this.giveBack(replies),
    });
  }

  /**
   * Spends each question's costs under all of its policies, or, if one of them denies, under none.
   */
  check(questions: readonly Question[]): Promise<Reply[]> {
    return this.#ask("check", questions);
  }

  /**
   * Spends each group's questions, all or none: if one is denied, what the others took is given
   * back. See {@link Taking} for which are asked first.
   *
   * @returns for each group the replies to its questions in order; those that were not asked, since
   *   another was denied, are left out
   */
  take(groups: readonly (readonly Question[])[]): Promise<Reply[][]> {
    return this.#taking.take(groups);
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek(questions: readonly Question[]): Promise<Reply[]> {
    return this.#ask("peek", questions);
  }

  /** Gives back what was spent; never rejects. An owner that does not answer keeps it. */
  async giveBack(replies: readonly Reply[]): Promise<void> {
    const toOwners: Returned[] = [];
    for (const { returned, source } of spentIn(replies)) {
      if (source === "owner") toOwners.push(returned);
      else this.#returnHere(returned, source);
    }
    await this.refund(toOwners);
  }

  /** Gives costs back, never more than are spent, and answers as `peek` would then. */
  refund(returned: readonly Returned[]): Promise<Reply[]> {
    const questions = returned.map(({ question }) => question);
    return this.#ask("refund", questions, returned);
  }

  /**
   * Forgets what the keys spent under the policies asked about, in all regions, and on disk.
   *
   * Other isolates may go on denying for as long as their denial caches remember, at most 5 s.
   *
   * @throws {CallError} if an owner does not answer; what the others hold may be forgotten by then
   */
  async reset(questions: readonly Question[]): Promise<void> {
    const messages = questions.map((question) => this.#address(question, 0));
    await this.#operator.reset(messages);
    for (const message of messages) {
      this.#fallback.reset(checkOf(message));
      this.#forget(message.key);
    }
  }

  /**
   * Denies a key everything for that long, in all regions, and has that on disk. An earlier block
   * that lasts longer stays. A lease in another isolate ends within 5 s.
   *
   * @throws {CallError} if an owner does not answer; the others may have blocked it by then
   */
  async block(key: readonly string[], durationMs: number): Promise<void> {
    const hash = this.#hash(key);
    await this.#operator.block(hash, durationMs);
    this.#forget(hash);
  }

  /** Ends a block; like `reset` in all else. */
  async unblock(key: readonly string[]): Promise<void> {
    const hash = this.#hash(key);
    await this.#operator.unblock(hash);
    this.#forget(hash);
  }

  /**
   * Says why keys are decided on as they are, in few calls to each owner.
   *
   * @throws {CallError} if an owner does not answer
   */
  explain(questions: readonly Question[]): Promise<ExplainedKey[]> {
    return this.#operator.explain(questions.map((question, at) => this.#address(question, at)));
  }

  async #ask(
    verb: Asking,
    questions: readonly Question[],
    returned: readonly Returned[] = [],
  ): Promise<Reply[]> {
    const replies = new Array<Reply>(questions.length);
    const messages: Message[] = [];
    const sentMs = this.#runtime.now();
    for (const [index, question] of questions.entries()) {
      const message = this.#address(question, index, returned[index]);
      const known = verb === "check" ? this.#known(message, sentMs) : undefined;
      if (known) replies[index] = known;
      else messages.push(message);
    }
    if (messages.length === 0) return replies;
    const again = await this.#deliver(verb, messages, replies, verb === "check");
    // Once, and without a slice, whatever the owner says: so a check makes two calls at most.
    if (again.length > 0) await this.#deliver(verb, again, replies, false);
    for (const message of messages) replies[message.index] ??= this.#standIn(verb, message);
    return replies;
  }

  /**
   * Asks the owners, and puts their replies in place.
   *
   * @param mayLease whether hot keys ask for a slice
   * @returns those that were denied with a slice, and may pass without it
   */
  async #deliver(
    verb: Asking,
    messages: Message[],
    replies: Reply[],
    mayLease: boolean,
  ): Promise<Message[]> {
    const again: Message[] = [];
    const sentMs = this.#runtime.now();
    await this.#routes.deliver(messages, async (owner, batch) => {
      const requests = batch.map((message) =>
        mayLease ? this.#leases.request(message, sentMs) : NO_LEASE,
      );
      const checks = batch.map((message, at) => checkOf(message, requests[at]));
      const { version } = batch[0] as Message;
      const answer = await this.#owners.ask(owner, verb, { version, checks });
      for (const [at, message] of batch.entries()) {
        const { question, key, index, generation } = message;
        const verdicts = answer?.verdicts[at];
        if (verb === "refund") this.#denials.forget(key, owner);
        // Moved, or without an answer that can be believed.
        if (!answer || !verdicts?.length) continue;
        const { epoch, atMs, unsure, ended } = answer;
        if (verb === "check") {
          const heardMs = this.#runtime.now();
          const lastHeard = this.#hearings.hear(owner, epoch, sentMs);
          const request = requests[at] as LeaseRequest;
          const isEnded = ended?.[at] ?? false;
          const { version } = answer.ring ?? message;
          const heard = { sentMs, epoch, lastHeard, atMs, version, isEnded };
          this.#leases.add(message, verdicts, request, heard);
          if (verdicts[0]?.reason === "limited") {
            // The owner has no more, but what it has leased before is known to be good again.
            const leased = this.#leases.spend(message, heardMs);
            if (leased) replies[index] = replyOf(question, [leased], "lease", heardMs);
            else if (request.slice > 0) again.push(message);
            if (leased || request.slice > 0) continue;
          }
          this.#denials.add(message, verdicts, { sentMs, epoch, heardMs, generation });
        }
        replies[index] = replyOf(question, verdicts, "owner", atMs, unsure?.[at]);
      }
      return answer;
    });
    return again;
  }

  /** The reply to a check, if it is known without asking: a lease pays, or a denial still holds. */
  #known(message: Message, nowMs: number): Reply | undefined {
    const leased = this.#leases.spend(message, nowMs);
    if (leased) return replyOf(message.question, [leased], "lease", nowMs);
    const denial = this.#denials.find(message, nowMs);
    return denial && replyOf(message.question, denial, "denial-cache", nowMs);
  }

  /** The reply where the owner gives none. */
  #standIn(verb: Asking, message: Message): Reply {
    const atMs = this.#runtime.now();
    const counting = verb === "check" ? "check" : "peek";
    const { question, policies } = message;
    const decisions = this.#fallback.decide(counting, checkOf(message), policies, atMs);
    if (policies[0]?.atMost) return withTaken(question, decisions, decisions, atMs);
    return { question, decisions, atMs };
  }

  #forget(key: KeyHash): void {
    this.#denials.forget(key);
    this.#leases.forget(key);
  }

  #address(question: Question, index: number, returned?: Returned): Message {
    const { policies } = question;
    const region = policies[0]?.scope === "global" ? this.#homeRegion : question.region;
    const key = this.#hash(question.key);
    const { owner, version } = this.#routes.to(key, region);
    const generation = this.#denials.generationOf(key);
    return { question, index, key, policies, region, owner, version, generation, returned };
  }

  /** Puts back what this isolate has counted by itself. */
  #returnHere(returned: Returned, source: Source): void {
    const message = this.#address(returned.question, 0, returned);
    const nowMs = this.#runtime.now();
    if (source === "fallback") this.#fallback.refund(checkOf(message), nowMs);
    if (source === "lease") this.#leases.giveBack(message, nowMs);
  }
}
