/** Runs several seeds side by side: each runs one event, then all microtasks that follow. */
import { setImmediate } from "node:timers/promises";
import { vi } from "vitest";
import { checkCalm, checkEmpty } from "./calm.ts";
import { Story } from "./story.ts";
import { type Variant, World } from "./world.ts";

/** Waiting for microtasks takes as long for a few runs as for one. More would not fit the cache. */
const SIDE_BY_SIDE = 4;

/** After this, all counts have expired and all alarms have gone off. */
const EXPIRY_MS = 3 * 86_400_000;

export interface Failure {
  seed: number;
  violation: string;
}

/** Silences the logs before all runs: only the ledger reports what is wrong. */
export function silence(): void {
  // Each deadline makes an error, and making its stack would take longer than all else.
  Error.stackTraceLimit = 0;
  // Failures are logged, and here they are most of what happens.
  for (const level of ["log", "warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation(() => {});
  }
}

export function seeds(length: number, from = 0): number[] {
  return Array.from({ length }, (_, at) => from + at);
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
  #untilMs: number;

  constructor(seed: number, variant: Variant, isTold = false) {
    this.seed = seed;
    this.world = new World(seed, variant, isTold);
    const story = new Story(this.world, seed);
    this.#parts = [
      ...story.parts,
      { begin: () => void checkCalm(this.world, story), lastsMs: EXPIRY_MS },
      { begin: () => checkEmpty(this.world), lastsMs: 0 },
    ];
    this.#untilMs = this.world.schedule.nowMs;
  }

  step(): void {
    const { schedule } = this.world;
    if (schedule.step(this.#untilMs)) return;
    const part = this.#parts.shift();
    this.isOver = part === undefined;
    this.#untilMs = schedule.nowMs + (part?.lastsMs ?? 0);
    part?.begin();
  }
}
