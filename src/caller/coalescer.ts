/**
 * Shares one call to an owner among the checks that come while another call to it is under way.
 *
 * A check never waits where the owner has nothing to do. Promises may be awaited across requests,
 * with two safeguards: who sends keeps its request alive until the answer is there, and who waits
 * has a timer of its own, without which the runtime may end its request as hung.
 */
import { waitUntil } from "cloudflare:workers";
import type { Check } from "../owner/counters.ts";
import type { Answer } from "../owner/wire.ts";

/** How long checks are gathered. */
const GATHER_MS = 1;
/** The most checks in one call. */
export const MAX_BATCH = 256;

interface Batch {
  checks: Check[];
  answer: Promise<Answer>;
}

/** What is under way to one owner. */
interface Line {
  callsInFlight: number;
  gathering: Batch | undefined;
}

export class Coalescer {
  readonly #send: (owner: string, checks: Check[]) => Promise<Answer>;
  readonly #patienceMs: number;
  readonly #lines = new Map<string, Line>();

  /**
   * @param send makes one call; rejects if it fails
   * @param patienceMs after which a check that shares another request's call makes its own; longer
   *   than `send` ever takes, so that it ends a wait only where that other request was cut short
   */
  constructor(send: (owner: string, checks: Check[]) => Promise<Answer>, patienceMs: number) {
    this.#send = send;
    this.#patienceMs = patienceMs;
  }

  /** Asks an owner about a check; rejects as `send` does. */
  async ask(owner: string, check: Check): Promise<Answer> {
    const line = this.#lines.get(owner) ?? { callsInFlight: 0, gathering: undefined };
    this.#lines.set(owner, line);
    const { gathering, callsInFlight } = line;
    if (!gathering && callsInFlight === 0) return keptAlive(this.#call(line, owner, [check]));
    if (!gathering || gathering.checks.length >= MAX_BATCH) return this.#lead(line, owner, check);
    const at = gathering.checks.push(check) - 1;
    const answer = await Promise.race([gathering.answer, this.#patience()]);
    return answer ? part(answer, at) : this.#call(line, owner, [check]);
  }

  /** Gathers checks for a moment, then sends them all. */
  async #lead(line: Line, owner: string, check: Check): Promise<Answer> {
    const checks = [check];
    const gatherAndCall = async () => {
      await scheduler.wait(GATHER_MS);
      if (line.gathering === batch) line.gathering = undefined;
      return this.#call(line, owner, checks);
    };
    const batch: Batch = { checks, answer: gatherAndCall() };
    line.gathering = batch;
    return part(await keptAlive(batch.answer), 0);
  }

  async #call(line: Line, owner: string, checks: Check[]): Promise<Answer> {
    line.callsInFlight++;
    try {
      return await this.#send(owner, checks);
    } finally {
      line.callsInFlight--;
    }
  }

  async #patience(): Promise<undefined> {
    await scheduler.wait(this.#patienceMs);
  }
}

/**
 * Keeps the request alive until the call has ended, even if its client goes away: others may wait for
 * the answer, and one that was never counted as ended would make all later checks wait.
 */
function keptAlive(answer: Promise<Answer>): Promise<Answer> {
  // Those who wait for it hear of a failure themselves.
  waitUntil(answer.catch(() => {}));
  return answer;
}

/** The answer to one check of a batch. */
function part({ atMs, verdicts }: Answer, at: number): Answer {
  return { atMs, verdicts: verdicts.slice(at, at + 1) };
}
