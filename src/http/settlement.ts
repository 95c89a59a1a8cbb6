/**
 * What is settled after the response: costs that only some responses are charged, and the slots of
 * requests that were in flight.
 *
 * Costs are taken before the handler runs and given back after, so that requests in parallel cannot
 * overrun the limit while none of them has ended.
 */
import type { Context } from "hono";
import type { Caller } from "../caller/caller.ts";
import type { Reply } from "../caller/question.ts";
import type { Policy } from "../limit/policy.ts";

/** Least status of a response that failed. */
const FAILURE = 400;

/** Is there anything that waits for the response? */
export function isSettled(replies: readonly Reply[]): boolean {
  return replies.some(({ question }) =>
    question.policies.some(({ algorithm, charge }) => {
      return algorithm === "concurrency" || charge !== "always";
    }),
  );
}

/**
 * Runs the handler, and gives back what its response turns out not to cost.
 *
 * @param handle runs it, so that the response is in `c.res`
 */
export async function settle(
  c: Context,
  caller: Caller,
  replies: readonly Reply[],
  handle: () => Promise<void>,
): Promise<void> {
  const held = part(replies, ({ algorithm }) => algorithm === "concurrency");
  const ended = Promise.withResolvers<void>();
  // A client that goes away ends its request, and with it all that is not waited for.
  if (held.length > 0) {
    const freed = ended.promise.then(() => caller.giveBack(held));
    waitUntil(c, freed);
  }
  try {
    await handle();
  } catch (error) {
    ended.resolve();
    throw error;
  }
  const failed = c.res.status >= FAILURE;
  const free = part(replies, ({ charge }) => charge === (failed ? "success" : "failure"));
  if (free.length > 0) waitUntil(c, caller.giveBack(free));
  if (held.length > 0 && c.res.body && !c.res.webSocket) {
    const { readable, writable } = new TransformStream();
    c.res.body.pipeTo(writable).then(ended.resolve, ended.resolve);
    c.res = new Response(readable, c.res);
  } else {
    ended.resolve();
  }
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

function waitUntil(c: Context, task: Promise<unknown>): void {
  try {
    c.executionCtx.waitUntil(task);
  } catch {
    // Outside a Worker's request, as in `app.request()`, nothing ends early.
  }
}
