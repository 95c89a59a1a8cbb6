/**
 * What else happens in some runs: requests that take of two keys and whose clients leave, a hot key
 * that is blocked while isolates have leases on it, and plans whose limits change.
 */
import { MAX_SILENCE_MS } from "../../src/caller/owner-pulse.ts";
import { isAllowed, type Question, type Reply } from "../../src/caller/question.ts";
import type { Policy } from "../../src/limit/policy.ts";
import { REGION } from "./hosts.ts";
import { Life } from "./life.ts";
import { HOT, PLANS, planAt, SITE, type Subject } from "./subjects.ts";
import type { Isolate, World } from "./world.ts";

/** The longest that a client stays: it may leave at any moment of a request, or after it. */
const MOST_STAY_MS = 60;
const BLOCK_MS = 3_600_000;
/** Units that leases may take of a key, besides what was asked for. */
const MANY = 1_000_000;

export interface ExtrasOptions {
  world: World;
  isolates: readonly Isolate[];
  subjects: readonly Subject[];
  isFaulty: boolean;
  often: (least: number, most: number, act: () => void) => void;
}

export class Extras {
  readonly #options: ExtrasOptions;
  readonly #plans = new Map<Subject, readonly Policy[]>(PLANS.map((plan) => [plan, plan.policies]));
  /** Requests that passed and took of the site. */
  #taken = 0;
  /** When a caller heard that the hot key is blocked. */
  #blockedMs: number | undefined;

  constructor(options: ExtrasOptions) {
    this.#options = options;
    const { ledger } = options.world;
    for (const subject of [SITE, HOT, ...PLANS]) ledger.open(subject);
    ledger.asked(HOT, [{ name: "hot", cost: MANY }]);
  }

  stir(): void {
    const { world, often } = this.#options;
    const { schedule } = world;
    if (schedule.odds(0.4)) often(10, 30, () => this.#take());
    if (schedule.odds(0.4)) {
      often(60, 120, () => void this.#check(HOT, HOT.policies));
      // Its owner is also asked about other keys: each answer renews the leases, until the block.
      often(60, 120, () => this.#ask(schedule.pick(PLANS)));
      if (schedule.odds(0.9)) often(1, 1, () => this.#block());
    }
    if (schedule.odds(0.3)) {
      often(16, 32, () => this.#ask(schedule.pick(PLANS)));
      often(1, 3, () => this.#change(schedule.pick(PLANS)));
    }
  }

  /** Compares the books, once everything that was begun is over. */
  async audit(): Promise<void> {
    const { world, isFaulty } = this.#options;
    // If a crash came before an owner set its alarm, it cleans up its disk only when asked again.
    void this.#check(HOT, HOT.policies);
    for (const plan of PLANS) this.#ask(plan);
    // Calls that get lost leave units spent: nobody knows how many.
    if (isFaulty) return;
    const { caller } = world.schedule.pick(this.#options.isolates);
    const [reply] = await caller.peek([questionOf(SITE, SITE.policies)]);
    const [site] = SITE.policies as [Policy];
    const spent = site.limit - (reply?.decisions[0]?.remaining ?? 0);
    if (spent !== this.#taken) {
      world.ledger.violated(`${spent} of the site are counted, where ${this.#taken} passed`);
    }
    const { passed, limit } = world.ledger.account(HOT.hash, "hot");
    if (passed > limit) world.ledger.violated(`${passed} of the hot key passed, not ${limit}`);
  }

  /** Takes of the site and of a subject, both or neither. */
  #take(): void {
    const { world, isolates, subjects } = this.#options;
    const { schedule, ledger } = world;
    const { machine, caller } = schedule.pick(isolates);
    const both = [SITE, schedule.pick(subjects)];
    for (const subject of both) ledger.asked(subject, subject.policies);
    const life = new Life(machine);
    const questions = both.map((subject) => questionOf(subject, subject.policies));
    const taken = life.run(() => caller.checkAllOrNone([questions]));
    taken.then(
      ([replies = []]) => {
        if (!machine.isAlive || !replies.every(isAllowed)) return;
        this.#taken++;
        for (const [at, reply] of replies.entries()) {
          ledger.decided(both[at] as Subject, reply, false);
        }
      },
      (error) => ledger.violated(`a take rejects: ${error}`),
    );
    if (!schedule.odds(0.5)) return;
    schedule.after(schedule.int(0, MOST_STAY_MS), () => {
      world.tell(`a client of ${machine.name} leaves`);
      life.leave();
    });
  }

  async #check(subject: Subject, policies: readonly Policy[]): Promise<Reply | undefined> {
    const { world, isolates, isFaulty } = this.#options;
    const { ledger, schedule } = world;
    const { machine, caller } = schedule.pick(isolates);
    const askedMs = schedule.nowMs;
    const [reply] = await caller.check([questionOf(subject, policies)]);
    if (!machine.isAlive || !reply) return undefined;
    ledger.decided(subject, reply, false);
    const { exact, source, allowed } = reply.decisions[0] ?? {};
    if (isFaulty) return reply;
    if (!exact && source !== "lease") {
      ledger.violated(`${subject.key} is decided on by ${source}, not exact, though nothing fails`);
    }
    const blockedForMs = subject === HOT ? askedMs - (this.#blockedMs ?? askedMs) : 0;
    if (allowed && blockedForMs > MAX_SILENCE_MS) {
      ledger.violated(`the hot key passed by ${source}, ${blockedForMs} ms after its block`);
    }
    return reply;
  }

  #ask(plan: Subject): void {
    const policies = this.#plans.get(plan) as readonly Policy[];
    this.#options.world.ledger.asked(plan, policies);
    void this.#check(plan, policies);
  }

  #change(plan: Subject): void {
    const { world } = this.#options;
    const limit = world.schedule.int(1, 9);
    const policies = plan.policies.map((policy) => planAt(policy, limit));
    world.tell(`the limit of ${plan.key} is ${limit} now`);
    this.#plans.set(plan, policies);
    for (const { name, algorithm } of policies) {
      const account = world.ledger.account(plan.hash, name);
      account.limit = Math.max(account.limit, limit);
      // Under another limit a bucket's state means other units: at worst, the bucket counts as
      // empty.
      if (algorithm.endsWith("bucket")) account.resets++;
    }
  }

  #block(): void {
    const { world, isolates } = this.#options;
    const { caller } = world.schedule.pick(isolates);
    const confirm = () => {
      this.#blockedMs = world.schedule.nowMs;
      world.tell("the hot key is blocked");
    };
    caller.block(HOT.key, BLOCK_MS).then(confirm, (error) => world.tell(`not blocked: ${error}`));
  }
}

export function questionOf({ key }: Subject, policies: readonly Policy[]): Question {
  return { key, policies, region: REGION };
}
