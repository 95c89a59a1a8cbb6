/**
 * Answers checks whose mode is `after` from what this isolate knows, and has their owners count
 * them in the background.
 *
 * What it knows: denials, leases, and what keys had left by their owner's last word, less what is
 * on its way there. Where that leaves no room, the owner is asked first. So nobody is denied
 * without an owner's word. A batch is sent 50 ms after its first check, or with its 100th.
 *
 * The bound: once a limit is spent, an isolate lets pass at most what arrives there between two
 * words of the owner, and never more than the last word had left.
 */
import { algorithmOf } from "../../limit/algorithms.ts";
import type { Decision, Verdict } from "../../limit/decision.ts";
import type { Policy } from "../../limit/policy.ts";
import type { Runtime } from "../../runtime.ts";
import type { LocalAnswers } from "../local-answers.ts";
import type { Message } from "../message.ts";
import type { Observer, Question, Reply } from "../question.ts";
import { replyOf } from "../results.ts";
import { hear, LastWords, type Word } from "./last-words.ts";

/** How long checks are gathered for one call to their owner. */
export const MAX_GATHER_MS = 50;
/** The most checks in one call. */
export const MAX_CHECKS = 100;
/** After this, the request that began a batch must have ended, and the next check sends it. */
const OVERDUE_MS = 2 * MAX_GATHER_MS;

export interface BackgroundOptions {
  runtime: Runtime;
  local: LocalAnswers;
  route: (question: Question) => Message;
  /** Asks the owners, and puts their replies in place. An owner that is silent leaves a gap. */
  check: (messages: readonly Message[], replies: (Reply | undefined)[]) => Promise<void>;
  observer?: Omit<Observer, "called"> | undefined;
}

/** What is known about a check. If it is neither denied nor may pass, its owner must be asked. */
export interface Look {
  message: Message;
  /** When the look was taken, ms since the epoch. */
  nowMs: number;
  /** What is known under each policy; none after a denial. */
  words: readonly Word[];
  denial: Reply | undefined;
  mayPass: boolean;
}

interface Batch {
  looks: Look[];
  sinceMs: number;
}

export class Background {
  readonly #options: BackgroundOptions;
  readonly #words = new LastWords();
  /** The checks gathered for each owner. */
  readonly #batches = new Map<string, Batch>();
  /** When an owner failed, ms since the epoch; absent once it has been heard of again. */
  readonly #failedMs = new Map<string, number>();

  constructor(options: BackgroundOptions) {
    this.#options = options;
  }

  look(question: Question): Look {
    const { runtime, local, route } = this.#options;
    const nowMs = runtime.now();
    const message = route(question);
    const denied = local.denials.find(message, nowMs);
    if (denied) {
      const denial = this.#told(replyOf(question, denied, "denial-cache", nowMs));
      return { message, nowMs, words: [], denial, mayPass: false };
    }
    const { key, owner, policies } = message;
    const words = policies.map((policy) => this.#words.of(key, policy, nowMs));
    const mayPass = !this.#isSilent(owner) && leavesRoom(policies, words);
    if (!mayPass) {
      // The owner has to count what this isolate let pass before it is asked for more.
      const batch = this.#batches.get(owner);
      if (batch) this.#sendNow(owner, batch);
    }
    return { message, nowMs, words, denial: undefined, mayPass };
  }

  /** Replies to a check that may pass, and has it counted in the background. */
  pass(look: Look): Reply {
    const { message, nowMs, words } = look;
    const { policies, question } = message;
    const leased = this.#options.local.leases.spend(message, nowMs);
    if (leased) return this.#told(replyOf(question, [leased], "lease", nowMs));
    const verdicts = policies.map((policy, at) => spend(words[at] as Word, policy, nowMs));
    this.#gather(look);
    return this.#told(replyOf(question, verdicts, "local", nowMs));
  }

  /** Notes the decisions of an owner that was asked about a check. */
  hear(look: Look, decisions: readonly Decision[]): void {
    this.#hear(look, decisions, 0);
  }

  /** Notes that all of a request was decided here. */
  requested(replies: readonly Reply[]): void {
    this.#options.observer?.requested(replies);
  }

  #told(reply: Reply): Reply {
    this.#options.observer?.decided([reply], 0);
    return reply;
  }

  #gather(look: Look): void {
    const { runtime } = this.#options;
    const { message, nowMs } = look;
    const { owner, version } = message;
    let batch = this.#batches.get(owner);
    // An owner reads one version of the ring for a whole batch.
    if (batch && batch.looks[0]?.message.version !== version) {
      this.#sendNow(owner, batch);
      batch = undefined;
    }
    if (!batch) {
      const begun: Batch = { looks: [], sinceMs: nowMs };
      batch = begun;
      this.#batches.set(owner, begun);
      // The request that begins a batch stays alive until the owner has answered.
      runtime.keepAlive(runtime.wait(MAX_GATHER_MS).then(() => this.#send(owner, begun)));
    }
    batch.looks.push(look);
    const isDue = batch.looks.length >= MAX_CHECKS || nowMs - batch.sinceMs > OVERDUE_MS;
    if (isDue) this.#sendNow(owner, batch);
  }

  #sendNow(owner: string, batch: Batch): void {
    this.#options.runtime.keepAlive(this.#send(owner, batch));
  }

  async #send(owner: string, batch: Batch): Promise<void> {
    if (this.#batches.get(owner) !== batch) return;
    this.#batches.delete(owner);
    const messages = batch.looks.map(({ message }) => message);
    for (const [index, message] of messages.entries()) message.index = index;
    const replies = new Array<Reply | undefined>(messages.length);
    await this.#options.check(messages, replies);
    for (const [index, look] of batch.looks.entries()) {
      const reply = replies[index];
      // An owner that does not answer may have counted the check, so its units stay spent here.
      if (reply) this.#hear(look, reply.decisions, 1);
      else this.#failedMs.set(owner, this.#options.runtime.now());
    }
  }

  /** @param times 1 if the check's cost was on its way to the owner, else 0 */
  #hear({ message, words }: Look, decisions: readonly Decision[], times: number): void {
    const nowMs = this.#options.runtime.now();
    for (const [at, { cost }] of message.policies.entries()) {
      hear(words[at] as Word, times * cost, decisions[at], nowMs);
    }
  }

  /** Returns true if an owner has failed and was not heard of since. */
  #isSilent(owner: string): boolean {
    const failedMs = this.#failedMs.get(owner);
    if (failedMs === undefined) return false;
    const heardMs = this.#options.local.pulse.of(owner)?.sentMs ?? 0;
    if (heardMs <= failedMs) return true;
    this.#failedMs.delete(owner);
    return false;
  }
}

/** Returns true if all policies have room, as far as is known. A policy in shadow needs none. */
function leavesRoom(policies: readonly Policy[], words: readonly Word[]): boolean {
  return policies.every((policy, at) => {
    const { remaining = policy.capacity, onTheWay } = words[at] as Word;
    return policy.shadow || remaining - onTheWay >= policy.cost;
  });
}

/** Notes that a cost is on its way to the owner, and returns the verdict. */
function spend(word: Word, policy: Policy, nowMs: number): Verdict {
  const { remaining, limit, wholeAtMs } = word;
  const left = (remaining ?? policy.capacity) - word.onTheWay - policy.cost;
  word.onTheWay += policy.cost;
  return {
    allowed: true,
    remaining: Math.max(0, left),
    resetMs: remaining === undefined ? freshResetMs(policy, nowMs) : wholeAtMs - nowMs,
    retryAfterMs: 0,
    delayMs: 0,
    reason: left < 0 ? "shadow" : "ok",
    limit,
  };
}

/** Returns the milliseconds after a key's first check until its quota is whole again. */
function freshResetMs(policy: Policy, nowMs: number): number {
  return algorithmOf(policy).decide(undefined, policy, nowMs, policy.cost).resetMs;
}
