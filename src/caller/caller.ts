/**
 * A call that looks local: keys and policies in, decisions out, wherever the counters live.
 *
 * The path of a check: key hash → ring → lease → denial cache → owner, or the fallback if the owner
 * does not answer. One instance serves an isolate. A failing owner is an error only where nothing
 * can stand in for it: reset, block, unblock and explain.
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
  /** The binding of the `RateLimiter` class, whose objects are the owners. */
  owners: CounterNamespace;
  /** Owners that each region begins with, at least 1. */
  ownersPerRegion: number;
  /** The region of keys whose policies have the scope `global`. */
  homeRegion: Region;
  /** Keys the hash, so that no client can aim at one owner. Must be the same in all callers. */
  hashSecret: string;
  /** How long to wait for an owner. Default 250 ms. */
  deadlineMs?: number;
  runtime: Runtime;
  /** Tells the membership object that an owner is out of reach. */
  reportFailure?: ((owner: string) => void) | undefined;
}

const DEFAULT_DEADLINE_MS = 250;

/** The verbs that the fallback can stand in for. */
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

  /** Spends each question's cost under all of its policies, or under none if one of them denies. */
  check(questions: readonly Question[]): Promise<Reply[]> {
    return this.#ask("check", questions);
  }

  /**
   * Spends the questions of each group, all or none. If one is denied, the others give back what
   * they took. {@link Taking} decides which are asked first.
   *
   * @returns for each group the replies to its questions, in order, without those never asked
   *   because another was denied
   */
  take(groups: readonly (readonly Question[])[]): Promise<Reply[][]> {
    return this.#taking.take(groups);
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek(questions: readonly Question[]): Promise<Reply[]> {
    return this.#ask("peek", questions);
  }

  /**
   * Gives back what checks spent; never rejects. If an owner does not answer, the units stay spent.
   */
  async giveBack(replies: readonly Reply[]): Promise<void> {
    const toOwners: Returned[] = [];
    for (const { returned, source } of spentIn(replies)) {
      if (source === "owner") toOwners.push(returned);
      else this.#returnHere(returned, source);
    }
    await this.refund(toOwners);
  }

  /** Gives costs back, never more than is spent, and then answers as `peek`. */
  refund(returned: readonly Returned[]): Promise<Reply[]> {
    const questions = returned.map(({ question }) => question);
    return this.#ask("refund", questions, returned);
  }

  /**
   * Forgets what the keys spent under these policies, in all regions and on disk.
   *
   * Other isolates may go on denying from their denial caches for at most 5 s.
   *
   * @throws {CallError} if an owner does not answer; other owners may have forgotten by then
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
   * Denies a key under every policy for `durationMs`, in all regions and on disk. An earlier block
   * that lasts longer stays. A lease in another isolate ends within 5 s.
   *
   * @throws {CallError} if an owner does not answer; other owners may have blocked it by then
   */
  async block(key: readonly string[], durationMs: number): Promise<void> {
    const hash = this.#hash(key);
    await this.#operator.block(hash, durationMs);
    this.#forget(hash);
  }

  /** Ends all blocks of a key, in all regions and on disk. Rejects as `block` does. */
  async unblock(key: readonly string[]): Promise<void> {
    const hash = this.#hash(key);
    await this.#operator.unblock(hash);
    this.#forget(hash);
  }

  /**
   * Says why owners decide on these keys as they do, in few calls to each owner.
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
      const known = isOfNow(verb, question) ? this.#known(message, sentMs) : undefined;
      if (known) replies[index] = known;
      else messages.push(message);
    }
    if (messages.length === 0) return replies;
    const again = await this.#deliver(verb, messages, replies, verb === "check");
    // Without a slice this time, so a check is sent at most twice.
    if (again.length > 0) await this.#deliver(verb, again, replies, false);
    for (const message of messages) replies[message.index] ??= this.#standIn(verb, message);
    return replies;
  }

  /**
   * Asks the owners, and puts their replies in place.
   *
   * @param mayLease whether hot keys ask for a slice
   * @returns the messages that were denied with a slice and may pass without it
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
        mayLease && isOfNow(verb, message.question)
          ? this.#leases.request(message, sentMs)
          : NO_LEASE,
      );
      const checks = batch.map((message, at) => checkOf(message, requests[at]));
      const { version } = batch[0] as Message;
      const answer = await this.#owners.ask(owner, verb, { version, checks });
      for (const [at, message] of batch.entries()) {
        const { question, key, index, generation } = message;
        const verdicts = answer?.verdicts[at];
        if (verb === "refund") this.#denials.forget(key, owner);
        // No answer, a key that has moved, or verdicts that make no sense.
        if (!answer || !verdicts?.length) continue;
        const { epoch, atMs, inexact, ended } = answer;
        if (isOfNow(verb, question)) {
          const heardMs = this.#runtime.now();
          const lastHeard = this.#hearings.hear(owner, epoch, sentMs);
          const request = requests[at] as LeaseRequest;
          const isEnded = ended?.[at] ?? false;
          const { version } = answer.ring ?? message;
          const heard = { sentMs, epoch, lastHeard, atMs, version, isEnded };
          this.#leases.add(message, verdicts, request, heard);
          if (verdicts[0]?.reason === "limited") {
            // The owner has nothing left, but it has just confirmed what it leased before.
            const leased = this.#leases.spend(message, heardMs);
            if (leased) replies[index] = replyOf(question, [leased], "lease", heardMs);
            else if (request.slice > 0) again.push(message);
            if (leased || request.slice > 0) continue;
          }
          this.#denials.add(message, verdicts, { sentMs, epoch, heardMs, generation });
        }
        replies[index] = replyOf(question, verdicts, "owner", atMs, inexact?.[at]);
      }
      return answer;
    });
    return again;
  }

  /** Returns the reply to a check that needs no call: a lease pays, or a denial still holds. */
  #known(message: Message, nowMs: number): Reply | undefined {
    const leased = this.#leases.spend(message, nowMs);
    if (leased) return replyOf(message.question, [leased], "lease", nowMs);
    const denial = this.#denials.find(message, nowMs);
    return denial && replyOf(message.question, denial, "denial-cache", nowMs);
  }

  /** Returns the fallback's reply where the owner gives none. */
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

  /** Gives back what this isolate counted itself. */
  #returnHere(returned: Returned, source: Source): void {
    const message = this.#address(returned.question, 0, returned);
    const nowMs = this.#runtime.now();
    if (source === "fallback") this.#fallback.refund(checkOf(message), nowMs);
    if (source === "lease") this.#leases.giveBack(message, nowMs);
  }
}

/**
 * Is the answer about the key as it is now? With a `requestId` it may be from before, so it is
 * neither looked for here nor remembered.
 */
function isOfNow(verb: Asking, { requestId }: Question): boolean {
  return verb === "check" && requestId === undefined;
}
