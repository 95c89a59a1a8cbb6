/**
 * A key that an operator gives another limit, in some runs: through ring changes, restarts and
 * crashes.
 */
import { MAX_SILENCE_MS } from "../../src/caller/owner-pulse.ts";
import type { Policy } from "../../src/limit/policy.ts";
import { Ring } from "../../src/ring/ring.ts";
import { type ExtrasOptions, questionOf } from "./extras.ts";
import { OVERRIDDEN } from "./subjects.ts";

const DURATION_MS = 86_400_000;
const HIGHEST = 12;
/** A crash this soon comes before the next checkpoint, so it could lose an override. */
const SOON_MS = 400;

export class Override {
  readonly #options: ExtrasOptions;
  readonly #own: number;
  /** The limit in force, and when a caller heard so; undefined while an override is under way. */
  #confirmed: { limit: number; atMs: number } | undefined;
  /** Overrides begun, and how many of them have ended. */
  #begun = 0;
  #ended = 0;
  /** Whether an override failed for its caller: it may still reach the owner at any time. */
  #isUnsure = false;

  constructor(options: ExtrasOptions) {
    this.#options = options;
    const { ledger, schedule } = options.world;
    ledger.open(OVERRIDDEN);
    const [policy] = OVERRIDDEN.policies as [Policy];
    this.#own = policy.limit;
    this.#confirmed = { limit: this.#own, atMs: schedule.nowMs };
  }

  stir(): void {
    const { world, often } = this.#options;
    if (!world.schedule.odds(0.4)) return;
    often(20, 40, () => void this.#check());
    often(1, 3, () => this.#override());
  }

  /** Asks once more, once everything that was begun is over. */
  audit(): void {
    void this.#check();
  }

  #override(): void {
    const { world, isolates, isFaulty } = this.#options;
    const { schedule, ledger } = world;
    const limit = schedule.odds(0.3) ? null : schedule.int(1, HIGHEST);
    const account = ledger.account(OVERRIDDEN.hash, "overridden");
    account.limit = Math.max(account.limit, limit ?? 0);
    // Of two overrides under way at once, nobody knows which comes last.
    const isAlone = this.#begun === this.#ended;
    const act = ++this.#begun;
    this.#confirmed = undefined;
    const { caller } = schedule.pick(isolates);
    const question = questionOf(OVERRIDDEN, OVERRIDDEN.policies);
    caller.override(question, limit, DURATION_MS).then(
      () => {
        world.tell(`the limit is overridden: ${limit}`);
        this.#ended++;
        if (!isAlone || act !== this.#begun) return;
        this.#confirmed = { limit: limit ?? this.#own, atMs: schedule.nowMs };
        if (isFaulty && schedule.odds(0.5)) schedule.after(schedule.int(0, SOON_MS), this.#crash);
      },
      (error) => {
        world.tell(`not overridden: ${error}`);
        this.#ended++;
        this.#isUnsure = true;
      },
    );
  }

  /** Crashes the owner of the key. */
  readonly #crash = (): void => {
    const { world } = this.#options;
    const { owners } = world.members?.record ?? { owners: [] };
    if (owners.length > 0) world.crash(new Ring(owners).ownerOf(OVERRIDDEN.hash));
  };

  async #check(): Promise<void> {
    const { world, isolates, isFaulty } = this.#options;
    const { schedule, ledger } = world;
    const { machine, caller } = schedule.pick(isolates);
    ledger.asked(OVERRIDDEN, OVERRIDDEN.policies);
    const before = this.#confirmed;
    const askedMs = schedule.nowMs;
    const [reply] = await caller.check([questionOf(OVERRIDDEN, OVERRIDDEN.policies)]);
    if (!machine.isAlive || !reply) return;
    ledger.decided(OVERRIDDEN, reply, false);
    const { limit, source, exact } = reply.decisions[0] ?? {};
    if (!before || before !== this.#confirmed || limit === before.limit) return;
    if (source !== "owner" && (isFaulty || askedMs - before.atMs <= MAX_SILENCE_MS)) return;
    if (!exact || this.#isUnsure || ledger.isDoubted(OVERRIDDEN)) return;
    // An owner that was given up may still answer callers that have an older ring.
    if ((world.members?.record.lost ?? []).length > 0) return;
    ledger.violated(`counted by ${source} under ${limit}, where ${before.limit} is in force`);
  }
}
