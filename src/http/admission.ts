/**
 * Takes what a request costs before its handler runs, and holds it where a policy would rather have
 * it wait than refused.
 *
 * Holds a bounded number in the isolate, and of one key as many as can pass within their wait; all
 * others are refused at once and told when their turn would be.
 */

import type { Context } from "hono";
import type { Caller } from "../caller/caller.ts";
import type { Question, Reply } from "../caller/question.ts";
import type { Policy } from "../limit/policy.ts";
import { turnMs } from "../limit/waiting.ts";
import { WORKERS } from "../runtime.ts";
import { giveAllBack } from "./after-response.ts";
import { type Ruling, rulingsOf } from "./answer/ruling.ts";
import { WaitingRoom } from "./waiting-room.ts";

/** What came of asking, once the request may go on to its handler or is refused. */
export interface Admission {
  replies: Reply[];
  rulings: Ruling[];
  /** Has the client left, and was given back what it took? */
  hasLeft: boolean;
}

const room = new WaitingRoom();

/**
 * Takes what the questions cost, and holds the request for as long as its policies say.
 *
 * @param isKept whether the request is kept alive for it, even if its client leaves
 */
export async function admit(
  c: Context,
  caller: Caller,
  questions: readonly Question[],
  isKept: boolean,
): Promise<Admission> {
  const { replies, rulings } = await takeInTime(c, caller, questions);
  const isAdmitted = rulings.every(({ decision }) => decision.allowed);
  if (!isKept || !isAdmitted) return { replies, rulings, hasLeft: false };
  const { signal } = c.req.raw;
  const delayMs = Math.max(...rulings.map(({ decision }) => decision.delayMs));
  if (delayMs > 0) {
    const leave = room.enter(new Map(), WORKERS.now(), delayMs);
    if (!leave) {
      await caller.giveBack(replies);
      return { replies, rulings: rulings.map(deniedForSpace), hasLeft: false };
    }
    await pause(delayMs, signal, leave);
  }
  if (signal.aborted) await giveAllBack(caller, replies);
  return { replies, rulings, hasLeft: signal.aborted };
}

/** Is there a queue that holds a request which passes? */
export function isQueued(questions: readonly Question[]): boolean {
  return questions.some(({ policies }) =>
    policies.some(({ algorithm }) => algorithm === "leaky-bucket"),
  );
}

/** Takes what the questions cost, waiting for it as long as the policies that deny allow. */
async function takeInTime(
  c: Context,
  caller: Caller,
  questions: readonly Question[],
): Promise<{ replies: Reply[]; rulings: Ruling[] }> {
  let waitedMs = 0;
  for (;;) {
    // One question alone leaves nothing to give back.
    const replies =
      questions.length > 1
        ? (await caller.take([questions])).flat()
        : await caller.check(questions);
    const rulings = rulingsOf(replies);
    const patienceMs = maxWaitOf(rulings) - waitedMs;
    if (!(patienceMs > 0)) return { replies, rulings };

    const nowMs = WORKERS.now();
    const { turns, awaited } = queue(replies, nowMs);
    const waitMs = Math.max(...turns.map(({ decision }) => decision.retryAfterMs)) + room.spreadMs;
    const leave = waitMs > patienceMs ? undefined : room.enter(awaited, nowMs, waitMs);
    if (!leave) return { replies, rulings: turns };
    if (!(await pause(waitMs, c.req.raw.signal, leave))) return { replies, rulings };
    waitedMs += waitMs;
  }
}

/** How long the policies that deny let it wait; NaN if none does. */
function maxWaitOf(rulings: readonly Ruling[]): number {
  let patienceMs = Number.NaN;
  for (const { policy, decision } of rulings) {
    if (!decision.allowed && !(policy.maxWaitMs >= patienceMs)) patienceMs = policy.maxWaitMs;
  }
  return patienceMs;
}

/** What the request waits for behind those that wait already, and when its turn is. */
function queue(replies: readonly Reply[], nowMs: number) {
  const awaited = new Map<string, number>();
  const turns = replies.flatMap(({ question, decisions }) =>
    decisions.map((decision, at): Ruling => {
      const policy = question.policies[at] as Policy;
      if (decision.allowed) return { policy, decision };
      const quota = [policy.name, ...question.key].join("\0");
      const retryAfterMs = turnMs(policy, decision, room.unitsAhead(quota, nowMs));
      awaited.set(quota, policy.cost);
      return { policy, decision: { ...decision, retryAfterMs } };
    }),
  );
  return { turns, awaited };
}

/** A leaky bucket's word where there is no place to wait for the turn it gave. */
function deniedForSpace({ policy, decision }: Ruling): Ruling {
  const { delayMs } = decision;
  if (delayMs === 0) return { policy, decision };
  const denial = { allowed: false, reason: "limited", retryAfterMs: delayMs, delayMs: 0 } as const;
  return { policy, decision: { ...decision, ...denial } };
}

/**
 * Waits, and leaves the waiting room; returns at once, and false, if the client leaves.
 */
function pause(ms: number, signal: AbortSignal, leave: () => void): Promise<boolean> {
  // A request that nothing keeps alive ends with this event, and runs no further.
  signal.addEventListener("abort", leave);
  return scheduler
    .wait(ms, { signal })
    .then(
      () => true,
      () => false,
    )
    .finally(leave);
}
