/** Runs seeds one after the other. A run goes event by event, each with all microtasks it causes. */
import { setImmediate } from "node:timers/promises";
import { vi } from "vitest";
import { checkCalm, checkEmpty } from "./calm.ts";
import { Story } from "./story.ts";
import { type Variant, World } from "./world.ts";

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

/** @returns the first seed that fails, if any does */
export async function simulate(
  seeds: Iterable<number>,
  variant: Variant = {},
): Promise<Failure | undefined> {
  for (const seed of seeds) {
    const { violation } = (await runOf(new Run(seed, variant))).ledger;
    if (violation !== undefined) return { seed, violation };
    // Lets the test runner have its turn.
    await setImmediate();
  }
  return undefined;
}

/** Runs one seed. @returns what happened in it, the violation last if there is one */
export async function replay(seed: number): Promise<readonly string[]> {
  return (await runOf(new Run(seed, {}, true))).log;
}

async function runOf(run: Run): Promise<World> {
  const { world } = run;
  while (!run.isOver && world.ledger.violation === undefined) {
    run.step();
    await quiet();
  }
  return world;
}

/** Resolves once all microtasks have run, also those that others began: Node runs its ticks then. */
function quiet(): Promise<void> {
  return new Promise((resolve) => queueMicrotask(() => process.nextTick(resolve)));
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
