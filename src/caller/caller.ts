/**
 * A call that looks local: keys and policies in, decisions out, wherever the counters live.
 *
 * A check's path: key hash → ring → lease → denial cache → owner, or the fallback. An isolate has
 * one. A failing owner is an error where nothing stands in: reset, block, override, explain.
 */
import type { CounterNamespace } from "../protocol/rpc.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import { type KeyHash, keyHasher } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";
import { AllOrNone } from "./all-or-none.ts";
import { CostlyChecks } from "./costly-checks.ts";
import { LocalAnswers } from "./local-answers.ts";
import { checkOf, type Message, type Route, routes } from "./message.ts";
import { Background } from "./mode/background.ts";
import { HeadStarts } from "./mode/head-starts.ts";
import { Operator } from "./operator.ts";
import { OwnerAnswers } from "./owner-answers.ts";
import { OwnerClient } from "./owner-client.ts";
import type { ExplainedKey, Observer, Question, Reply, Returned, Settled } from "./question.ts";
import { ownerReply, spentIn } from "./results.ts";
import { Router } from "./router.ts";

export interface CallerOptions {
  /** The binding of the `RateLimiter` class, whose objects are the owners. */
  owners: CounterNamespace;
  /** Owners that each region begins with, at least 1. */
  ownersPerRegion: number;
  /** The rings that are known already. Default those that regions begin with. */
  router?: Router;
  /** The region of keys whose policies have the scope `global`. */
  homeRegion: Region;
  /** Keys the hash, so that no client can aim at one owner. Must be the same in all callers. */
  hashSecret: string;
  /** How long to wait for an owner. Default 250 ms. */
  deadlineMs?: number;
  runtime: Runtime;
  /** Tells the membership object that an owner is out of reach. */
  reportFailure?: ((owner: string) => void) | undefined;
  /** Receives what was decided. */
  observer?: Omit<Observer, "called"> | undefined;
}

const DEFAULT_DEADLINE_MS = 250;

export class Caller {
  readonly #runtime: Runtime;
  readonly #hash: (parts: readonly string[]) => KeyHash;
  readonly #route: Route;
  readonly #operator: Operator;
  readonly #local = new LocalAnswers();
  readonly #owners: OwnerAnswers;
  readonly #allOrNone = new AllOrNone(this.#local.denials);
  readonly #observer: CallerOptions["observer"];
  readonly costly: CostlyChecks;
  readonly headStarts: HeadStarts;
  readonly background: Background;

  constructor(options: CallerOptions) {
    const { owners: namespace, runtime, deadlineMs = DEFAULT_DEADLINE_MS, observer } = options;
    this.#observer = observer;
    this.#runtime = runtime;
    this.#hash = keyHasher(options.hashSecret);
    const router = options.router ?? new Router(options.ownersPerRegion);
    const client = new OwnerClient({ namespace, runtime, deadlineMs }, options.reportFailure);
    this.#operator = new Operator(client, router);
    const local = this.#local;
    const { denials } = local;
    const route = routes({ hash: this.#hash, router, denials, homeRegion: options.homeRegion });
    this.#route = route;
    const owners = new OwnerAnswers({ client, router, runtime, local });
    this.#owners = owners;
    const check = owners.check.bind(owners);
    const peek = (message: Message) => owners.ask("peek", [message]);
    this.costly = new CostlyChecks({ runtime, denials, route, peek });
    this.headStarts = new HeadStarts({ runtime, denials, route });
    this.background = new Background({ runtime, local, route, check, observer });
  }

  /** Answers a request's questions. Spends each one's cost under all of its policies or none. */
  async check(questions: readonly Question[]): Promise<Reply[]> {
    const replies = await this.#check(questions);
    this.#observer?.requested(replies);
    return replies;
  }

  /**
   * Spends the questions of each group, all or none, in the order that {@link AllOrNone} decides.
   *
   * @returns for each group the replies to its questions, in order, without those never asked
   *   because another was denied
   */
  checkAllOrNone(groups: readonly (readonly Question[])[]): Promise<Reply[][]> {
    const checked = this.#checkInStages(groups);
    // A denied request gives back what it took even if its client leaves.
    if (groups.some(({ length }) => length > 1)) this.#runtime.keepAlive(checked.catch(() => {}));
    return checked;
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek(questions: readonly Question[]): Promise<Reply[]> {
    return this.#owners.ask("peek", this.#routeAll(questions));
  }

  /** Gives back what checks spent; never rejects. If an owner is silent, the units stay spent. */
  async undo(replies: readonly Reply[]): Promise<void> {
    const toOwners: Returned[] = [];
    const holds: Promise<unknown>[] = [];
    for (const { returned, source } of spentIn(replies)) {
      const { policies, reserve } = returned.question;
      if (source !== "owner")
        this.#owners.undo(this.#route(returned.question, 0, returned), source);
      else if (reserve && policies[0]?.held) {
        const settle = { id: reserve.id, actual: 0, isMade: true };
        // If its owner does not answer, the hold ends by itself.
        holds.push(this.settle([{ ...returned, settle }]).catch(() => {}));
      } else toOwners.push(returned);
    }
    await Promise.all([...holds, this.refund(toOwners)]);
  }

  /** @throws {CallError} if an owner does not answer */
  async settle(settlements: readonly Returned[]): Promise<Settled[]> {
    const settled = new Array<Settled>(settlements.length);
    const messages = settlements.map((each, index) => this.#route(each.question, index, each));
    for (const { message, answer, index } of await this.#operator.settle(messages, this.#runtime)) {
      this.#local.denials.forget(message.key, message.owner);
      // An owner of an earlier version does not send it.
      const was = answer?.was?.[index] ?? "live";
      settled[message.index] = { ...ownerReply(message, answer as Answer, index), was };
    }
    return settled;
  }

  /** Gives costs back, never more than is spent, and then answers as `peek`. */
  refund(returned: readonly Returned[]): Promise<Reply[]> {
    const messages = returned.map((each, index) => this.#route(each.question, index, each));
    return this.#owners.ask("refund", messages);
  }

  /**
   * Forgets what the keys spent under these policies, in all regions and on disk. Other isolates
   * may go on denying from their denial caches for at most 5 s.
   *
   * @throws {CallError} if an owner does not answer; other owners may have forgotten by then
   */
  async reset(questions: readonly Question[]): Promise<void> {
    const messages = this.#routeAll(questions);
    await this.#operator.reset(messages);
    for (const message of messages) {
      this.#owners.fallback.reset(checkOf(message));
      this.#local.forget(message.key);
    }
  }

  /**
   * Denies a key under every policy for `durationMs`, in all regions and on disk. An earlier block
   * that lasts longer stays. A lease in another isolate ends within 5 s.
   *
   * @throws {CallError} if an owner does not answer; other owners may have blocked it by then
   */
  async block(key: readonly string[], durationMs: number): Promise<void> {
    await this.#operate(key, (hash) => this.#operator.block(hash, durationMs));
  }

  /** Ends all blocks of a key, in all regions and on disk. Rejects as `block` does. */
  async unblock(key: readonly string[]): Promise<void> {
    await this.#operate(key, (hash) => this.#operator.unblock(hash));
  }

  /** Gives a key another limit, infinite or whole; with null the policies'. Rejects as `block`. */
  async override({ key, policies }: Question, limit: number | null, durationMs = 0): Promise<void> {
    for (const policy of policies) {
      await this.#operate(key, (hash) => this.#operator.override(hash, policy, limit, durationMs));
    }
  }

  /** @throws {CallError} if an owner does not answer */
  explain(questions: readonly Question[]): Promise<ExplainedKey[]> {
    return this.#operator.explain(this.#routeAll(questions));
  }

  async #check(questions: readonly Question[]): Promise<Reply[]> {
    const replies = new Array<Reply>(questions.length);
    const open: Message[] = [];
    const nowMs = this.#runtime.now();
    for (const [index, question] of questions.entries()) {
      const message = this.#route(question, index);
      const known = this.#local.find(message, nowMs);
      if (known) replies[index] = known;
      else open.push(message);
    }
    if (open.length > 0) {
      await this.#owners.check(open, replies);
      for (const message of open) replies[message.index] ??= this.#owners.standIn("check", message);
    }
    this.#observer?.decided(replies, this.#runtime.now() - nowMs);
    return replies;
  }

  async #checkInStages(groups: readonly (readonly Question[])[]): Promise<Reply[][]> {
    const routed = groups.map((group) => this.#routeAll(group));
    const { replies, toUndo } = await this.#allOrNone.run(routed, this.#runtime.now(), (messages) =>
      this.#check(messages.map(({ question }) => question)),
    );
    for (const each of replies) this.#observer?.requested(each);
    if (toUndo.length > 0) await this.undo(toUndo);
    return replies;
  }

  #routeAll(questions: readonly Question[]): Message[] {
    return questions.map((question, index) => this.#route(question, index));
  }

  async #operate(key: readonly string[], act: (hash: KeyHash) => Promise<void>): Promise<void> {
    const hash = this.#hash(key);
    await act(hash);
    this.#local.forget(hash);
  }
}
