/**
 * Takes a request's cost before its handler runs, and holds the request if a policy lets it wait.
 *
 * An isolate holds a bounded number of requests, and of one key only those that can pass within
 * their wait. All others are refused at once and told when their turn would be.
 */

import type { Context } from "hono";
import type { Caller } from "../caller/caller.ts";
import { isAllowed, type Question, type Reply } from "../caller/question.ts";
import type { Decision } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { MAX_DELAY_MS, turnMs } from "../limit/waiting.ts";
import { WORKERS } from "../runtime.ts";
import { giveAllBack } from "./after-response.ts";
import { type Ruling, rulingsOf } from "./answer/ruling.ts";
import { WaitingRoom } from "./waiting-room.ts";

export interface Admission {
  replies: Reply[];
  rulings: Ruling[];
  /** True if the client has left. Its cost has then been given back. */
  hasLeft: boolean;
}

const room = new WaitingRoom();

/**
 * Takes the cost of the questions, and holds the request as its policies say.
 *
 * @param isKept whether the runtime lets this code go on if the client leaves
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
    // An operator's override may lengthen the queue.
    const mayWait = delayMs <= MAX_DELAY_MS;
    const leave = mayWait ? room.enter(new Map(), WORKERS.now(), delayMs) : undefined;
    if (!leave) {
      await caller.undo(replies);
      return { replies, rulings: rulings.map(deniedForSpace), hasLeft: false };
    }
    await pause(delayMs, signal, leave);
  }
  if (signal.aborted) await giveAllBack(caller, replies);
  return { replies, rulings, hasLeft: signal.aborted };
}

/** Returns the admission of a request whose policies all count later. */
export function nobodyAsked(): Admission {
  return { replies: [], rulings: [], hasLeft: false };
}

/** Returns true if a policy holds requests that it allows, as leaky buckets do. */
export function isQueued(questions: readonly Question[]): boolean {
  return questions.some(({ policies }) =>
    policies.some(({ algorithm }) => algorithm === "leaky-bucket"),
  );
}

/** Takes the cost of the questions, and tries again for as long as the denying policies let it. */
async function takeInTime(
  c: Context,
  caller: Caller,
  questions: readonly Question[],
): Promise<{ replies: Reply[]; rulings: Ruling[] }> {
  let waitedMs = 0;
  for (;;) {
    // The owner of a single question takes all or nothing, so there is nothing to give back.
    const replies =
      questions.length > 1
        ? givenBack((await caller.checkAllOrNone([questions])).flat())
        : await caller.check(questions);
    const rulings = rulingsOf(replies);
    const denials = rulings.filter(({ decision }) => !decision.allowed);
    const maxWaitMs = Math.min(...denials.map(({ policy }) => policy.maxWaitMs)) - waitedMs;
    if (denials.length === 0 || maxWaitMs <= 0) return { replies, rulings };

    const nowMs = WORKERS.now();
    const { turns, awaited } = queue(replies, nowMs);
    const waitMs = Math.max(...turns.map(({ decision }) => decision.retryAfterMs)) + room.spreadMs;
    const leave = waitMs > maxWaitMs ? undefined : room.enter(awaited, nowMs, waitMs);
    if (!leave) return { replies, rulings: turns };
    if (!(await pause(waitMs, c.req.raw.signal, leave))) return { replies, rulings };
    waitedMs += waitMs;
  }
}

/** Adds the cost to what is left of keys that pass, since the caller gave it back as another denies. */
function givenBack(replies: Reply[]): Reply[] {
  if (replies.every(isAllowed)) return replies;
  return replies.map((reply) => {
    if (!isAllowed(reply)) return reply;
    const { policies } = reply.question;
    const decisions = reply.decisions.map((each, at) => withCostBack(each, policies[at] as Policy));
    return { ...reply, decisions };
  });
}

function withCostBack(decision: Decision, { cost }: Policy): Decision {
  const isCounted = decision.reason === "ok";
  return { ...decision, remaining: decision.remaining + (isCounted ? cost : 0) };
}

/** Returns the units that the request waits for, by quota, and rulings that tell its turn. */
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

/** Turns a leaky bucket's delay into a denial, since the request cannot be held. All is given back. */
function deniedForSpace({ policy, decision }: Ruling): Ruling {
  const { delayMs } = decision;
  if (delayMs === 0) return { policy, decision: withCostBack(decision, policy) };
  const denial = { allowed: false, reason: "limited", remaining: 0, delayMs: 0 } as const;
  return { policy, decision: { ...decision, ...denial, retryAfterMs: delayMs } };
}

/** Waits, and leaves the waiting room. Returns false at once if the client leaves. */
function pause(ms: number, signal: AbortSignal, leave: () => void): Promise<boolean> {
  // After this event, the runtime runs no more code of a request that is not kept alive.
  signal.addEventListener("abort", leave);
  return WORKERS.wait(ms, signal)
    .then(
      () => true,
      () => false,
    )
    .finally(leave);
}
