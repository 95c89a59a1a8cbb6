/**
 * What happens in a run, by chance: requests, ring changes, other acts of operators and, in most
 * runs, failures of all kinds. Then all is calm, and each key is asked until it is denied.
 */
import type { Policy } from "../../src/limit/policy.ts";
import { Extras, type ExtrasOptions, questionOf } from "./extras.ts";
import { Failures, LONG_CUT_MS } from "./failures.ts";
import { Later } from "./later.ts";
import { Live } from "./live.ts";
import { Machine } from "./machine.ts";
import { Override } from "./override.ts";
import { Reservations } from "./reservations.ts";
import { SUBJECTS, type Subject } from "./subjects.ts";
import type { Isolate, World } from "./world.ts";

/** How long the eventful part lasts; in the longest, silent owners are given up. */
const EVENTFUL_MS = [2_000, 6_000, 30_000];
/** After this everything that was begun is over, and no denial is remembered. */
const CALM_MS = 8_000;
/** The calm after failures, in which owners that were given up come back. */
const LONG_CALM_MS = 60_000;
const PROBING_MS = 1_000;
/** After this everything is on disk. */
const REST_MS = 4_000;
const BLOCK_MS = 3_600_000;
/** A failure often comes in the middle of a change. */
const SOON_MS = 200;
/** The odds that a check is sent twice, with one `requestId`; then, how much later at most. */
const SENT_TWICE_ODDS = 0.4;
const MOST_AGAIN_MS = 3_000;
/** One run in this many has no failures. */
const SPARED = 3;

export class Story {
  readonly subjects: readonly Subject[];
  /** Whether anything fails in this run. */
  readonly isFaulty: boolean;
  readonly #world: World;
  readonly #eventfulMs: number;
  readonly #operator: Machine;
  readonly #isolates: Isolate[];
  readonly #failures: Failures;
  readonly #extras: Extras;
  readonly #later: Later;
  readonly #live: Live;
  readonly #override: Override;
  readonly #reservations: Reservations;
  #requestId = 0;

  constructor(world: World, seed: number) {
    const { schedule } = world;
    this.#world = world;
    this.#eventfulMs = schedule.pick(EVENTFUL_MS);
    this.isFaulty = seed % SPARED !== 0;
    this.#operator = new Machine("operator", schedule);
    this.#isolates = Array.from({ length: 3 }, () => world.newIsolate());
    this.#failures = new Failures(world, this.#isolates);
    const first = schedule.int(0, SUBJECTS.length - 1);
    this.subjects = Array.from(
      { length: schedule.int(2, 5) },
      (_, at) => SUBJECTS[(first + at) % SUBJECTS.length] as Subject,
    );
    for (const subject of this.subjects) world.ledger.open(subject);
    const extras: ExtrasOptions = {
      world,
      isolates: this.#isolates,
      subjects: this.subjects,
      isFaulty: this.isFaulty,
      often: (least, most, act) => this.#often(least, most, act),
    };
    this.#extras = new Extras(extras);
    this.#reservations = new Reservations(extras);
    this.#later = new Later(extras);
    this.#override = new Override(extras);
    this.#live = new Live(extras);
  }

  /** The parts of the story: what each begins, and how long each lasts. */
  get parts(): { begin: () => void; lastsMs: number }[] {
    return [
      { begin: () => this.#stir(), lastsMs: this.#eventfulMs },
      { begin: () => this.#calmDown(), lastsMs: this.isFaulty ? LONG_CALM_MS : CALM_MS },
      { begin: () => this.#probe(), lastsMs: PROBING_MS + REST_MS },
    ];
  }

  #stir(): void {
    const { schedule } = this.#world;
    this.#often(16, 32, () => this.#ask());
    this.#often(1, 4, () => this.#change());
    this.#often(0, 4, () => this.#world.evict(this.#world.anyObject()));
    this.#often(0, 1, () => this.#restartIsolate());
    if (schedule.odds(0.3)) this.#often(1, 3, () => this.#operate());
    this.#extras.stir();
    this.#later.stir();
    this.#override.stir();
    this.#live.stir();
    this.#reservations.stir();
    if (!this.isFaulty) return;
    this.#failures.trouble();
    this.#often(1, 6, () => this.#failures.strike());
    if (this.#eventfulMs < LONG_CUT_MS || schedule.odds(0.5)) return;
    this.#often(1, 1, () => {
      this.#failures.lose();
      this.#change();
    });
  }

  #calmDown(): void {
    this.#world.tell("calm");
    this.#world.network.heal();
  }

  #probe(): void {
    const { schedule, ledger } = this.#world;
    this.#world.tell("probing");
    void this.#extras.audit();
    this.#later.audit();
    this.#override.audit();
    void this.#live.audit();
    void this.#reservations.audit();
    for (const subject of this.subjects) {
      const most = Math.max(
        ...subject.policies.map(({ name }) => {
          const { limit, returned } = ledger.account(subject.hash, name);
          return limit + returned + 1;
        }),
      );
      for (let check = 0; check < most; check++) {
        const isolate = schedule.pick(this.#isolates);
        schedule.after(schedule.int(0, PROBING_MS), () => {
          ledger.asked(subject, subject.policies);
          this.#check(isolate, [subject], ({ policies }) => policies);
        });
      }
    }
  }

  #often(least: number, most: number, act: () => void): void {
    const { schedule } = this.#world;
    const times = schedule.int(least, most);
    for (let time = 0; time < times; time++) schedule.after(schedule.int(0, this.#eventfulMs), act);
  }

  #ask(): void {
    const { schedule, ledger } = this.#world;
    const isolate = schedule.pick(this.#isolates);
    const isDear = schedule.odds(0.1);
    const policiesOf = (subject: Subject) => (isDear ? subject.dearPolicies : subject.policies);
    const isAboutAll = schedule.odds(0.2);
    const subjects = isAboutAll ? this.subjects : [schedule.pick(this.subjects)];
    for (const subject of subjects) ledger.asked(subject, policiesOf(subject));
    if (!isAboutAll && schedule.odds(SENT_TWICE_ODDS)) {
      const requestId = ++this.#requestId;
      this.#check(isolate, subjects, policiesOf, requestId);
      // Some are sent while the first is on its way, or from another isolate.
      schedule.after(schedule.odds(0.3) ? 0 : schedule.int(0, MOST_AGAIN_MS), () =>
        this.#check(schedule.pick(this.#isolates), subjects, policiesOf, requestId),
      );
      return;
    }
    this.#check(isolate, subjects, policiesOf);
    // Some are sent at once, so that they share a call.
    const more = isAboutAll ? 0 : schedule.int(0, 2);
    for (let time = 0; time < more; time++) {
      for (const subject of subjects) ledger.asked(subject, policiesOf(subject));
      this.#check(isolate, subjects, policiesOf);
    }
  }

  #check(
    { machine, caller }: Isolate,
    subjects: readonly Subject[],
    policiesOf: (subject: Subject) => readonly Policy[],
    requestId?: number,
  ): void {
    const { ledger } = this.#world;
    const wereBlocked = subjects.map((subject) => ledger.isBlocked(subject));
    const questions = subjects.map((subject) => ({
      ...questionOf(subject, policiesOf(subject)),
      ...(requestId !== undefined && { requestId }),
    }));
    const decided = caller.check(questions).then((replies) => {
      if (!machine.isAlive) return;
      for (const [at, reply] of replies.entries()) {
        ledger.decided(subjects[at] as Subject, reply, wereBlocked[at] as boolean);
        const { exact, source, reason } = reply.decisions[0] ?? {};
        const said = `${reason} by ${source}${exact ? "" : ", inexact"}`;
        this.#world.tell(`${machine.name} has for ${reply.question.key}: ${said}`);
        if (!this.isFaulty && !exact) ledger.violated(`${said} though nothing fails`);
      }
    });
    decided.catch((error) => ledger.violated(`a check rejects: ${error}`));
  }

  #change(): void {
    const { schedule } = this.#world;
    const name = this.#world.anyOwner();
    const verb = schedule.pick(["add", "add one", "remove"]);
    if (this.isFaulty && schedule.odds(0.5)) {
      schedule.after(schedule.int(0, SOON_MS), () => this.#failures.strike());
    }
    const refused = this.#world.askMembership(this.#operator, (members) => {
      if (verb === "remove") return members.remove(name);
      return members.add(verb === "add" ? undefined : name);
    });
    refused.then(
      (refusal) => this.#world.tell(`${verb} ${name}: ${refusal?.refused ?? "begun"}`),
      (error) => this.#world.tell(`${verb} ${name}: ${error}`),
    );
  }

  #restartIsolate(): void {
    const at = this.#world.schedule.int(0, this.#isolates.length - 1);
    this.#isolates[at] = this.#world.newIsolate();
  }

  #operate(): void {
    const { schedule, ledger } = this.#world;
    const { caller } = schedule.pick(this.#isolates);
    const subject = schedule.pick(this.subjects);
    const question = questionOf(subject, subject.policies);
    const verb = schedule.pick(["refund", "reset", "block"]);
    const accounts = subject.policies.map(({ name }) => ledger.account(subject.hash, name));
    const done = (what: string) => this.#world.tell(`${verb} ${subject.key}: ${what}`);
    const failed = (error: unknown) => done(String(error));
    done("begun");
    if (verb === "refund") {
      for (const account of accounts) account.returned++;
      caller.refund([{ question }]).then(() => done("over"), failed);
    } else if (verb === "reset") {
      for (const account of accounts) account.resets++;
      caller.reset([question]).then(() => done("over"), failed);
    } else {
      const confirm = () => {
        ledger.blockConfirmed(subject);
        done("over");
      };
      caller.block(subject.key, BLOCK_MS).then(confirm, failed);
    }
  }
}
