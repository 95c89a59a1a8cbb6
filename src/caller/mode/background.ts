/**
 * Answers checks whose mode is `after` from what this isolate knows, and has their owners count
 * them in the background.
 *
 * What it knows: denials, leases, and what keys had left by their owner's last answer, less what is
 * in flight to the owner. If that leaves no room, the owner is asked first. So nobody is denied
 * unless an owner says so. A batch is sent 50 ms after its first check, or with its 100th.
 *
 * The bound: once a limit is spent, an isolate lets pass at most what arrives there between two
 * answers of the owner, and never more than the last answer had left.
 */
import { algorithmOf } from "../../limit/algorithms.ts";
import type { Decision, Verdict } from "../../limit/decision.ts";
import type { Policy } from "../../limit/policy.ts";
import type { Runtime } from "../../runtime.ts";
import type { LocalAnswers } from "../local-answers.ts";
import type { Message } from "../message.ts";
import type { Observer, Question, Reply } from "../question.ts";
import { replyOf } from "../results.ts";
import { type KnownQuota, KnownQuotas, update } from "./known-quotas.ts";

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
export interface Assessment {
  message: Message;
  /** When the check was assessed, ms since the epoch. */
  nowMs: number;
  /** What is known under each policy; none after a denial. */
  quotas: readonly KnownQuota[];
  denial: Reply | undefined;
  mayPass: boolean;
}

interface Batch {
  assessments: Assessment[];
  sinceMs: number;
}

export class Background {
  readonly #options: BackgroundOptions;
  readonly #quotas = new KnownQuotas();
  /** The checks gathered for each owner. */
  readonly #batches = new Map<string, Batch>();
  /** When an owner failed, ms since the epoch; absent once it has been heard of again. */
  readonly #failedMs = new Map<string, number>();

  constructor(options: BackgroundOptions) {
    this.#options = options;
  }

  assess(question: Question): Assessment {
    const { runtime, local, route } = this.#options;
    const nowMs = runtime.now();
    const message = route(question);
    const denied = local.denials.find(message, nowMs);
    if (denied) {
      const denial = this.#told(replyOf(question, denied, "denial-cache", nowMs));
      return { message, nowMs, quotas: [], denial, mayPass: false };
    }
    const { key, owner, policies } = message;
    const quotas = policies.map((policy) => this.#quotas.of(key, policy, nowMs));
    const mayPass = !this.#isSilent(owner) && leavesRoom(policies, quotas);
    if (!mayPass) {
      // The owner has to count what this isolate let pass before it is asked for more.
      const batch = this.#batches.get(owner);
      if (batch) this.#sendNow(owner, batch);
    }
    return { message, nowMs, quotas, denial: undefined, mayPass };
  }

  /** Replies to a check that may pass, and has it counted in the background. */
  pass(assessment: Assessment): Reply {
    const { message, nowMs, quotas } = assessment;
    const { policies, question } = message;
    const leased = this.#options.local.leases.spend(message, nowMs);
    if (leased) return this.#told(replyOf(question, [leased], "lease", nowMs));
    const verdicts = policies.map((policy, at) => spend(quotas[at] as KnownQuota, policy, nowMs));
    this.#gather(assessment);
    return this.#told(replyOf(question, verdicts, "local", nowMs));
  }

  /** Notes the decisions of an owner that was asked about a check. */
  learn(assessment: Assessment, decisions: readonly Decision[]): void {
    this.#learn(assessment, decisions, 0);
  }

  /** Notes that all of a request was decided here. */
  requested(replies: readonly Reply[]): void {
    this.#options.observer?.requested(replies);
  }

  #told(reply: Reply): Reply {
    this.#options.observer?.decided([reply], 0);
    return reply;
  }

  #gather(assessment: Assessment): void {
    const { runtime } = this.#options;
    const { message, nowMs } = assessment;
    const { owner, version } = message;
    let batch = this.#batches.get(owner);
    // An owner reads one version of the ring for a whole batch.
    if (batch && batch.assessments[0]?.message.version !== version) {
      this.#sendNow(owner, batch);
      batch = undefined;
    }
    if (!batch) {
      const begun: Batch = { assessments: [], sinceMs: nowMs };
      batch = begun;
      this.#batches.set(owner, begun);
      // The request that begins a batch stays alive until the owner has answered.
      runtime.keepAlive(runtime.wait(MAX_GATHER_MS).then(() => this.#send(owner, begun)));
    }
    batch.assessments.push(assessment);
    const isDue = batch.assessments.length >= MAX_CHECKS || nowMs - batch.sinceMs > OVERDUE_MS;
    if (isDue) this.#sendNow(owner, batch);
  }

  #sendNow(owner: string, batch: Batch): void {
    this.#options.runtime.keepAlive(this.#send(owner, batch));
  }

  async #send(owner: string, batch: Batch): Promise<void> {
    if (this.#batches.get(owner) !== batch) return;
    this.#batches.delete(owner);
    const messages = batch.assessments.map(({ message }) => message);
    for (const [index, message] of messages.entries()) message.index = index;
    const replies = new Array<Reply | undefined>(messages.length);
    await this.#options.check(messages, replies);
    for (const [index, assessment] of batch.assessments.entries()) {
      const reply = replies[index];
      // An owner that does not answer may have counted the check, so its units stay spent here.
      if (reply) this.#learn(assessment, reply.decisions, 1);
      else this.#failedMs.set(owner, this.#options.runtime.now());
    }
  }

  /** @param times 1 if the check's cost was on its way to the owner, else 0 */
  #learn({ message, quotas }: Assessment, decisions: readonly Decision[], times: number): void {
    const nowMs = this.#options.runtime.now();
    for (const [at, { cost }] of message.policies.entries()) {
      update(quotas[at] as KnownQuota, times * cost, decisions[at], nowMs);
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
function leavesRoom(policies: readonly Policy[], quotas: readonly KnownQuota[]): boolean {
  return policies.every((policy, at) => {
    const { remaining = policy.capacity, inFlight } = quotas[at] as KnownQuota;
    return policy.shadow || remaining - inFlight >= policy.cost;
  });
}

/** Notes that a cost is on its way to the owner, and returns the verdict. */
function spend(quota: KnownQuota, policy: Policy, nowMs: number): Verdict {
  const { remaining, limit, wholeAtMs } = quota;
  const left = (remaining ?? policy.capacity) - quota.inFlight - policy.cost;
  quota.inFlight += policy.cost;
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
