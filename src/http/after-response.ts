/**
 * What is settled after the response: costs that only some responses are charged, and the slots of
 * requests that are in flight.
 *
 * Costs are taken before the handler runs and given back after, so that requests in parallel cannot
 * overrun the limit while none of them has ended.
 */
import type { Context } from "hono";
import type { Caller } from "../caller/caller.ts";
import type { Question, Reply } from "../caller/question.ts";
import type { Policy } from "../limit/policy.ts";
import { WORKERS } from "../runtime.ts";
import { untilEnd } from "./answer/response-end.ts";
import { type Rule, readCharge } from "./rule-functions.ts";

/** Least status of a response that failed. */
const FAILURE = 400;
/** What a handler that throws is answered with. */
const INTERNAL_ERROR = 500;
/**
 * How long a handler may go on after its client has left until its slot is free. The runtime ends it
 * after 30 s, and with it the code that would free the slot.
 */
const LEFT_MS = 25_000;

/** Is there anything that waits for the response? */
export function needsSettlement(questions: readonly Question[]): boolean {
  return questions.some(({ policies }) =>
    policies.some(({ algorithm, charge }) => algorithm === "concurrency" || charge !== "always"),
  );
}

/**
 * Runs the handler, and gives back what its response turns out not to cost.
 *
 * A client that leaves while the handler runs is charged whatever the response would have been, and
 * keeps its slot until the handler has ended, which uses what the slot protects.
 *
 * @param rules those of the policies asked about
 * @param handle runs it, so that the response is in `c.res`
 * @param isRaw whether the handler's encoded bodies are those of its origin; see `untilEnd`
 */
export async function settle(
  c: Context,
  caller: Caller,
  replies: readonly Reply[],
  rules: readonly Rule[],
  handle: () => Promise<void>,
  isRaw: boolean,
): Promise<void> {
  const { signal } = c.req.raw;
  const held = part(replies, ({ algorithm }) => algorithm === "concurrency");
  const ended = Promise.withResolvers<unknown>();
  if (held.length > 0) {
    // A client that goes away ends its request, and with it all that is not waited for.
    WORKERS.keepAlive(ended.promise.then(() => caller.giveBack(held)));
    signal.addEventListener("abort", () => {
      scheduler.wait(LEFT_MS).then(ended.resolve);
    });
  }
  let status: number | undefined;
  try {
    await handle();
    status = c.res.status;
    if (held.length > 0 && !signal.aborted) ended.resolve(untilEnd(c, isRaw));
  } finally {
    ended.resolve(undefined);
    if (!signal.aborted) {
      giveFreeBack(caller, replies, rules, status);
      if (status !== undefined) askForCharges(c, caller, replies, rules);
    }
  }
}

/** Gives back what a response of that status does not cost. */
function giveFreeBack(
  caller: Caller,
  replies: readonly Reply[],
  rules: readonly Rule[],
  status = INTERNAL_ERROR,
): void {
  const isAsked = ({ name }: Policy) =>
    rules.some((rule) => rule.charge && rule.policy.name === name);
  const free = part(replies, (policy) => !isAsked(policy) && !isCharged(policy, status));
  if (free.length > 0) WORKERS.keepAlive(caller.giveBack(free));
}

/** Gives back what functions do not charge. */
function askForCharges(
  c: Context,
  caller: Caller,
  replies: readonly Reply[],
  rules: readonly Rule[],
): void {
  for (const { policy, charge } of rules) {
    if (!charge) continue;
    const asked = part(replies, ({ name }) => name === policy.name);
    const giveBack = (charged: boolean) => (charged ? undefined : caller.giveBack(asked));
    WORKERS.keepAlive(readCharge(c, charge, policy).then(giveBack));
  }
}

function isCharged({ charge }: Policy, status: number): boolean {
  if (charge === "always") return true;
  if (typeof charge === "object") return charge.includes(status);
  return charge === (status >= FAILURE ? "failure" : "success");
}

/**
 * Gives back what was taken for a request that never reached the handler. A leaky bucket's turn is
 * kept: the requests behind it have been told when to leave, and another one in its place would
 * leave together with the last of them.
 */
export function giveAllBack(caller: Caller, replies: readonly Reply[]): Promise<void> {
  const taken = part(replies, ({ algorithm }) => algorithm !== "leaky-bucket");
  return caller.giveBack(taken);
}

/** The replies as far as they are about policies that `belongs` picks. */
function part(replies: readonly Reply[], belongs: (policy: Policy) => boolean): Reply[] {
  return replies.flatMap(({ question, decisions, atMs }) => {
    const picked = question.policies.map(belongs);
    const policies = question.policies.filter((_, at) => picked[at]);
    if (policies.length === 0) return [];
    return {
      question: { ...question, policies },
      decisions: decisions.filter((_, at) => picked[at]),
      atMs,
    };
  });
}
