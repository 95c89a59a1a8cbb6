/**
 * Reservations, in some runs: settled for less or more, late, twice, elsewhere or never, while
 * rings change and machines crash. Each has an account, and all must balance once all holds have
 * ended.
 */

import { isAllowed, type Question } from "../../src/caller/question.ts";
import type { WasHeld } from "../../src/counters/check.ts";
import type { ExtrasOptions } from "./extras.ts";
import { REGION } from "./hosts.ts";
import { type Subject, TOKENS } from "./subjects.ts";
import type { Isolate } from "./world.ts";

const MOST_UNITS = 60;
const MOST_TTL_MS = 4_000;
/** The latest settlement. By the end of the calm, all is settled and each hold has ended. */
const MOST_DELAY_MS = 6_000;

/** What callers know of a hold. */
interface Book {
  id: number;
  subject: Subject;
  /** The most that it may have been charged; if it is settled twice, the higher of both. */
  most: number;
  /** What it was charged, once a caller has heard so. */
  actual: number;
}

export class Reservations {
  readonly #options: ExtrasOptions;
  readonly #books: Book[] = [];
  #id = 0;

  constructor(options: ExtrasOptions) {
    this.#options = options;
    for (const subject of TOKENS) options.world.ledger.open(subject);
  }

  stir(): void {
    const { world, often } = this.#options;
    if (world.schedule.odds(0.4)) often(10, 40, () => void this.#reserve());
  }

  /** Balances the accounts, once everything that was begun is over. */
  async audit(): Promise<void> {
    const { world, isolates, isFaulty } = this.#options;
    const { ledger, schedule } = world;
    if (this.#books.length === 0) return;
    const { caller } = schedule.pick(isolates);
    const explained = await caller.explain(TOKENS.map((subject) => this.#question(subject)));
    for (const [at, subject] of TOKENS.entries()) {
      const own = this.#books.filter((book) => book.subject === subject);
      const sum = (field: "most" | "actual") => own.reduce((all, book) => all + book[field], 0);
      for (const { stored, holds, policy } of explained[at]?.policies ?? []) {
        const spent = stored?.[1] ?? 0;
        const said = `${spent} of ${policy} are counted`;
        if (holds) ledger.violated(`a hold of ${policy} is counted for ever`);
        if (spent > sum("most")) ledger.violated(`${said}, where ${sum("most")} at most were used`);
        if (!isFaulty && spent !== sum("actual")) {
          ledger.violated(`${said}, where ${sum("actual")} were used`);
        }
      }
    }
  }

  async #reserve(): Promise<void> {
    const { world, isolates } = this.#options;
    const { schedule, ledger } = world;
    const { machine, caller } = schedule.pick(isolates);
    const subject = schedule.pick(TOKENS);
    const amount = schedule.int(1, MOST_UNITS);
    const id = ++this.#id;
    const policies = subject.policies.map((each) => ({
      ...each,
      cost: amount,
      held: true as const,
    }));
    ledger.asked(subject, policies);
    // The amount may be given back at any time.
    for (const { name } of policies) ledger.account(subject.hash, name).returned += amount;
    const book = { id, subject, most: 0, actual: 0 };
    this.#books.push(book);
    const reserve = { id, ttlMs: schedule.int(200, MOST_TTL_MS) };
    const [reply] = await caller.check([{ ...this.#question(subject), policies, reserve }]);
    if (!machine.isAlive || !reply) return;
    ledger.decided(subject, reply, false);
    // A third of the holds is never settled.
    if (!isAllowed(reply) || schedule.odds(0.3)) return;
    const times = schedule.odds(0.2) ? 2 : 1;
    for (let time = 0; time < times; time++) {
      const by = schedule.odds(0.5) ? { machine, caller } : schedule.pick(isolates);
      schedule.after(schedule.int(0, MOST_DELAY_MS), () => void this.#settle(book, by));
    }
  }

  async #settle(
    book: Book,
    { machine, caller }: Pick<Isolate, "machine" | "caller">,
  ): Promise<void> {
    const { world, isFaulty } = this.#options;
    const { schedule, ledger } = world;
    const actual = schedule.int(0, 2 * MOST_UNITS);
    book.most = Math.max(book.most, actual);
    const settle = { id: book.id, actual, isMade: schedule.odds(0.7) };
    let was: WasHeld | undefined;
    try {
      const [settled] = await caller.settle([{ question: this.#question(book.subject), settle }]);
      was = settled?.was;
    } catch (error) {
      if (!isFaulty) ledger.violated(`a settlement rejects: ${error}`);
    }
    if (!machine.isAlive) return;
    if (was === "live" || was === "ended") book.actual += actual;
    if (was === "unknown" && !isFaulty) ledger.violated("a hold is not counted any more");
  }

  #question({ key, policies }: Subject): Question {
    return { key, policies, region: REGION };
  }
}
