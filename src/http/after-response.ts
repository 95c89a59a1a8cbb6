/**
 * What is settled after the response: costs that only some responses are charged, actual costs, and
 * the slots of requests in flight.
 *
 * A cost is taken before the handler runs and given back after it. Otherwise parallel requests
 * could exceed the limit before the first of them has ended.
 */
import type { Context } from "hono";
import type { Caller } from "../caller/caller.ts";
import type { Question, Reply } from "../caller/question.ts";
import { isCharged } from "../limit/charge.ts";
import type { Policy } from "../limit/policy.ts";
import { WORKERS } from "../runtime.ts";
import { untilEnd } from "./answer/response-end.ts";
import { meterFor, type Outcome, settleHolds } from "./cost/actual.ts";
import type { Decode } from "./cost/decoding.ts";
import { type Rule, readCharge } from "./rule-functions.ts";

/** The status that a handler's exception leads to. */
const INTERNAL_ERROR = 500;
/**
 * How long a slot stays taken after its client has left, while the handler still runs. The runtime
 * ends the handler after 30 s, and with it the code that frees the slot.
 */
const LEFT_MS = 25_000;

/** Returns true if a policy waits for the response, to settle its cost or to free its slot. */
export function needsSettlement(questions: readonly Question[]): boolean {
  return questions.some(({ policies }) =>
    policies.some(
      ({ algorithm, charge, held }) =>
        algorithm === "concurrency" || charge !== "always" || held === true,
    ),
  );
}

/**
 * Runs the handler, and gives back what its response does not cost.
 *
 * A client that leaves while the handler runs is charged, whatever the response would have been. It
 * keeps its slot until the handler has ended, since the handler uses what the slot protects.
 *
 * @param rules the rules that count the request
 * @param handle runs the handler, so that the response is in `c.res`
 * @param decode reads encoded bodies, if the handlers pass them on as they are
 */
export async function settle(
  c: Context,
  caller: Caller,
  replies: readonly Reply[],
  rules: readonly Rule[],
  handle: () => Promise<void>,
  decode: Decode | undefined,
): Promise<void> {
  const { signal } = c.req.raw;
  const slots = repliesOf(replies, ({ algorithm }) => algorithm === "concurrency");
  const holds = repliesOf(replies, ({ held }) => held === true);
  const others = repliesOf(replies, ({ held }) => !held);
  const meter = meterFor(holds.flatMap(({ question }) => question.policies));
  const ended = Promise.withResolvers<unknown>();
  const outcome: Outcome = {
    response: undefined,
    status: INTERNAL_ERROR,
    meter: undefined,
    hasLeft: false,
  };
  // If the client leaves, the runtime ends its request, and all work that is not kept alive.
  if (holds.length > 0) {
    WORKERS.keepAlive(ended.promise.then(() => settleHolds(c, caller, holds, rules, outcome)));
  }
  if (slots.length > 0) {
    WORKERS.keepAlive(ended.promise.then(() => caller.undo(slots)));
    signal.addEventListener("abort", () => {
      WORKERS.wait(LEFT_MS).then(ended.resolve);
    });
  }
  let status: number | undefined;
  try {
    await handle();
    status = c.finalized ? c.res.status : INTERNAL_ERROR;
    Object.assign(outcome, { response: c.res, status });
    if ((slots.length > 0 || meter) && !signal.aborted) {
      meter?.begin(c.res, decode);
      const { body, webSocket } = c.res;
      const isEmpty = !body || c.req.method === "HEAD";
      const end = untilEnd(c, decode !== undefined, meter && ((chunk) => meter.look(chunk)));
      if ((end || isEmpty) && !webSocket) outcome.meter = meter;
      ended.resolve(end);
    }
  } finally {
    outcome.hasLeft = signal.aborted;
    ended.resolve(undefined);
    if (!signal.aborted) giveUncharged(c, caller, others, rules, status);
  }
}

/** Gives back what the response is not charged, by its status or by a rule's function. */
function giveUncharged(
  c: Context,
  caller: Caller,
  replies: readonly Reply[],
  rules: readonly Rule[],
  status: number | undefined,
): void {
  const asking = rules.filter(({ charge }) => charge);
  const ruleOf = ({ name }: Policy) => asking.find(({ policy }) => policy.name === name);
  const free = repliesOf(
    replies,
    (policy) => !ruleOf(policy) && !isCharged(policy, status ?? INTERNAL_ERROR),
  );
  if (free.length > 0) WORKERS.keepAlive(caller.undo(free));
  // If the handler threw, there is no response to look at, and the cost stays.
  if (status === undefined) return;
  for (const rule of asking) {
    const asked = repliesOf(replies, (policy) => ruleOf(policy) === rule);
    const giveBack = (charged: boolean) => (charged ? undefined : caller.undo(asked));
    WORKERS.keepAlive(readCharge(c, rule).then(giveBack));
  }
}

/**
 * Gives back what was taken for a request that never reached the handler. A leaky bucket keeps the
 * turn: the requests behind it already have their times to leave. If it gave the turn back, the
 * next request would leave together with the last of them.
 */
export function giveAllBack(caller: Caller, replies: readonly Reply[]): Promise<void> {
  return caller.undo(repliesOf(replies, ({ algorithm }) => algorithm !== "leaky-bucket"));
}

/** Returns the replies with only the policies that `belongs` picks. */
function repliesOf(replies: readonly Reply[], belongs: (policy: Policy) => boolean): Reply[] {
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
