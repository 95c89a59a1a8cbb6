/**
 * Shares one call to an owner among the checks that arrive while another call to it is under way.
 *
 * A check never waits while its owner is idle. Promises may be awaited across requests, with two
 * safeguards. The request that sends stays alive until the answer arrives. A request that waits has
 * a timer of its own; without one, the runtime may end it as hung.
 */
import type { Check } from "../counters/check.ts";
import type { Batch } from "../protocol/wire.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import type { Runtime } from "../runtime.ts";

/** How long a call gathers checks before it is sent. */
const GATHER_MS = 1;
export const MAX_BATCH = 256;
/** With this many calls under way to one owner, the next one waits `TURN_MS` for one to end. */
const MANY_CALLS = 2;
/** Time in which an owner nearby has answered. For one that is far away, it is short. */
const TURN_MS = 5;
/**
 * The most calls under way to one owner while more checks gather. A slow owner then gets larger
 * calls rather than more calls, which its other keys would wait behind.
 */
export const MAX_CALLS = 8;
/**
 * How long a check waits for another request's call, in call deadlines: one for its turn, one for
 * the call, one to spare. If the wait runs out, the runtime has ended the other request.
 */
const PATIENCE_CALLS = 3;

/** Settles the promise of a request that waits for another's call. */
interface Waiter {
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

interface Gathering {
  /** Version of the ring that all of these checks were sent by. */
  version: number;
  checks: Check[];
  /** One for each check but the first, which belongs to the sender. */
  waiters: Waiter[];
}

interface OwnerQueue {
  owner: string;
  callsInFlight: number;
  /** Each wakes a sender that waits for a call to end, in order of arrival. */
  readonly waiting: (() => void)[];
  gathering: Gathering | undefined;
}

export class Batcher {
  readonly #send: (owner: string, batch: Batch) => Promise<Answer>;
  readonly #runtime: Runtime;
  readonly #callMs: number;
  readonly #queues = new Map<string, OwnerQueue>();

  /**
   * @param send makes one call; rejects if it fails
   * @param callMs the longest that `send` takes
   */
  constructor(
    send: (owner: string, batch: Batch) => Promise<Answer>,
    runtime: Runtime,
    callMs: number,
  ) {
    this.#send = send;
    this.#runtime = runtime;
    this.#callMs = callMs;
  }

  /**
   * Asks an owner about a check; rejects as `send` does.
   *
   * @param version of the ring that named this owner. Checks sent by another ring gather apart.
   */
  ask(owner: string, version: number, check: Check): Promise<Answer> {
    const queue = this.#queues.get(owner) ?? {
      owner,
      callsInFlight: 0,
      waiting: [],
      gathering: undefined,
    };
    this.#queues.set(owner, queue);
    const { gathering, callsInFlight } = queue;
    // An owner looks at single keys only if the batch's ring is not its own. So all checks of a
    // batch are of one ring.
    if (gathering?.version === version && gathering.checks.length < MAX_BATCH) {
      return this.#follow(gathering, queue, version, check);
    }
    const isIdle = !gathering && callsInFlight === 0;
    return this.#keptAlive(
      isIdle
        ? this.#call(queue, { version, checks: [check] })
        : this.#gatherAndCall(queue, version, check),
    );
  }

  async #follow(
    gathering: Gathering,
    queue: OwnerQueue,
    version: number,
    check: Check,
  ): Promise<Answer> {
    // This request's own promise, which the sender settles: awaiting the sender's promise costs
    // more.
    const { promise, resolve, reject } = Promise.withResolvers<Answer | undefined>();
    gathering.checks.push(check);
    gathering.waiters.push({ resolve, reject });
    this.#runtime.wait(PATIENCE_CALLS * this.#callMs, promise).then(() => resolve(undefined));
    const answer = await promise;
    if (answer) return answer;
    // The sender is gone. Later checks must not join what it gathered.
    if (queue.gathering === gathering) queue.gathering = undefined;
    return this.#call(queue, { version, checks: [check] });
  }

  async #gatherAndCall(queue: OwnerQueue, version: number, check: Check): Promise<Answer> {
    const gathering: Gathering = { version, checks: [check], waiters: [] };
    const { checks, waiters } = gathering;
    queue.gathering = gathering;
    await this.#runtime.wait(GATHER_MS);
    if (queue.callsInFlight >= MANY_CALLS) await this.#turn(queue, TURN_MS);
    if (queue.callsInFlight >= MAX_CALLS) await this.#turn(queue, this.#callMs);
    if (queue.gathering === gathering) queue.gathering = undefined;
    try {
      const answer = await this.#call(queue, { version, checks });
      for (const [at, { resolve }] of waiters.entries()) resolve(part(answer, at + 1));
      return part(answer, 0);
    } catch (error) {
      for (const { reject } of waiters) reject(error);
      throw error;
    }
  }

  async #call(queue: OwnerQueue, batch: Batch): Promise<Answer> {
    queue.callsInFlight++;
    try {
      return await this.#send(queue.owner, batch);
    } finally {
      queue.callsInFlight--;
      queue.waiting.shift()?.();
    }
  }

  /** Waits until a call has ended, but no longer than `ms`. */
  async #turn({ waiting }: OwnerQueue, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    await Promise.race([promise, this.#runtime.wait(ms, promise)]);
    const place = waiting.indexOf(resolve);
    if (place >= 0) waiting.splice(place, 1);
  }

  /**
   * Keeps the request alive until the call has ended, even if its client leaves. Others may wait
   * for the answer. A call that is never counted as ended would also make all later checks wait.
   */
  #keptAlive(answer: Promise<Answer>): Promise<Answer> {
    // The requests that await the answer handle its failure themselves.
    this.#runtime.keepAlive(answer.catch(() => {}));
    return answer;
  }
}

function part({ atMs, epoch, verdicts, inexact, ended, ring }: Answer, at: number): Answer {
  const answer: Answer = { atMs, epoch, verdicts: verdicts.slice(at, at + 1), ring };
  if (inexact?.[at]) answer.inexact = [true];
  if (ended?.[at]) answer.ended = [true];
  return answer;
}
