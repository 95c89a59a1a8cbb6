/** Runs many seeds side by side: each goes one step, then all that follows from it happens. */
import { setImmediate } from "node:timers/promises";
import { checkCalm } from "./calm.ts";
import { Story } from "./story.ts";
import { type Variant, World } from "./world.ts";

/** To wait for the microtasks takes as long for many as for one. */
const SIDE_BY_SIDE = 64;

export interface Failure {
  seed: number;
  violation: string;
}

/** @returns the failures in the order in which they were found, about `most` */
export async function simulate(
  seeds: Iterable<number>,
  variant: Variant = {},
  most = 1,
): Promise<Failure[]> {
  const failures: Failure[] = [];
  const left = seeds[Symbol.iterator]();
  const running = new Set<Run>();
  for (;;) {
    while (running.size < SIDE_BY_SIDE && failures.length < most) {
      const { value: seed, done } = left.next();
      if (done) break;
      running.add(new Run(seed, variant));
    }
    if (running.size === 0) return failures;
    for (const run of running) run.step();
    await setImmediate();
    for (const run of running) {
      const { violation } = run.world.ledger;
      if (violation !== undefined) failures.push({ seed: run.seed, violation });
      if (violation !== undefined || run.isOver) running.delete(run);
    }
    if (failures.length >= most) return failures;
  }
}

/** Runs one seed. @returns what happened in it, the violation last if there is one */
export async function replay(seed: number): Promise<readonly string[]> {
  const run = new Run(seed, {}, true);
  const { world } = run;
  while (!run.isOver && world.ledger.violation === undefined) {
    run.step();
    await setImmediate();
  }
  return world.log;
}

class Run {
  isOver = false;
  readonly seed: number;
  readonly world: World;
  readonly #parts: Story["parts"];
  readonly #story: Story;
  #untilMs: number;

  constructor(seed: number, variant: Variant, isTold = false) {
    this.seed = seed;
    this.world = new World(seed, variant, isTold);
    this.#story = new Story(this.world, seed);
    this.#parts = this.#story.parts;
    this.#untilMs = this.world.schedule.nowMs;
  }

  step(): void {
    const { schedule } = this.world;
    if (schedule.step(this.#untilMs)) return;
    const part = this.#parts.shift();
    if (!part) {
      this.#parts.push({
        begin: () => {
          this.isOver = true;
        },
        lastsMs: 0,
      });
      void checkCalm(this.world, this.#story);
      return;
    }
    this.#untilMs = schedule.nowMs + part.lastsMs;
    part.begin();
  }
}
