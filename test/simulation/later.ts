/**
 * Checks that are counted after their requests, in some runs: how many pass above the limit while
 * several isolates spend one quota, each by the owner's last answer to it.
 */
import { MAX_GATHER_MS } from "../../src/caller/mode/background.ts";
import { LaterChecks } from "../../src/caller/mode/later-checks.ts";
import { isAllowed } from "../../src/caller/question.ts";
import { type ExtrasOptions, questionOf } from "./extras.ts";
import { DEADLINE_MS } from "./hosts.ts";
import { Life } from "./life.ts";
import type { Machine } from "./machine.ts";
import { LATER } from "./subjects.ts";

/** The longest time between two words of an owner that does not fail. */
const MOST_SILENT_MS = MAX_GATHER_MS + DEADLINE_MS;
/** The most checks at one moment. */
const MOST_AT_ONCE = 4;

export class Later {
  readonly #options: ExtrasOptions;
  /** When each isolate let checks pass. */
  readonly #passed = new Map<Machine, number[]>();

  constructor(options: ExtrasOptions) {
    this.#options = options;
    options.world.ledger.open(LATER);
  }

  stir(): void {
    const { world, often } = this.#options;
    if (world.schedule.odds(0.4)) often(40, 80, () => this.#burst());
  }

  /** Compares what passed with the bound, once everything is over. */
  audit(): void {
    const { world, isFaulty } = this.#options;
    const { limit } = world.ledger.account(LATER.hash, "later");
    const all = [...this.#passed.values()];
    const passed = all.reduce((sum, { length }) => sum + length, 0);
    const most = limit + all.reduce((sum, times) => sum + mostWithin(times), 0);
    if (isFaulty || passed <= most) return;
    world.ledger.violated(`${passed} passed that are counted later, ${most} at most`);
  }

  #burst(): void {
    const { schedule } = this.#options.world;
    for (let n = schedule.int(1, MOST_AT_ONCE); n > 0; n--) void this.#check();
  }

  async #check(): Promise<void> {
    const { world, isolates } = this.#options;
    const { schedule, ledger } = world;
    const { machine, caller } = schedule.pick(isolates);
    ledger.asked(LATER, LATER.policies);
    const question = questionOf(LATER, LATER.policies);
    const reply = await new Life(machine).run(async () => {
      const later = new LaterChecks(caller.background, [question]);
      const asked = later.asked.length > 0 ? await caller.check(later.asked) : [];
      return [...asked, ...later.complete(asked)];
    });
    if (!machine.isAlive || !reply.every(isAllowed)) return;
    const times = this.#passed.get(machine) ?? [];
    times.push(schedule.nowMs);
    this.#passed.set(machine, times);
  }
}

/** Returns the most of these times that lie between two words of an owner. */
function mostWithin(times: readonly number[]): number {
  const counts = times.map((from) => {
    return times.filter((at) => at >= from && at <= from + MOST_SILENT_MS).length;
  });
  return Math.max(0, ...counts);
}
