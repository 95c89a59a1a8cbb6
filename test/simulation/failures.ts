/** What goes wrong in a run. */
import { REGION } from "./hosts.ts";
import type { World } from "./world.ts";

const KINDS = ["crash", "crash", "duplicate", "cut", "cut off", "cut off", "restart"] as const;
const MOST_CUT_MS = 4_000;
/** Longer than a ring change waits for an owner. */
export const LONG_CUT_MS = 20_000;

export class Failures {
  readonly #world: World;
  readonly #isolates: readonly { machine: { name: string } }[];

  constructor(world: World, isolates: readonly { machine: { name: string } }[]) {
    this.#world = world;
    this.#isolates = isolates;
  }

  /** Makes messages get lost and come late from now on. */
  trouble(): void {
    const { schedule, network } = this.#world;
    if (schedule.odds(0.4)) network.lossShare = schedule.pick([0.01, 0.05, 0.15]);
    if (schedule.odds(0.4)) network.lateShare = schedule.pick([0.02, 0.1, 0.3]);
  }

  /** Makes one thing go wrong. */
  strike(): void {
    const { schedule } = this.#world;
    const kind = schedule.pick(KINDS);
    if (kind === "crash") this.#world.crash(this.#world.anyObject());
    if (kind === "duplicate") this.#world.duplicate(this.#world.anyObject());
    if (kind === "restart") for (const name of this.#objects) this.#world.crash(name);
    if (kind === "cut") this.#cut([schedule.pick(this.#all)], schedule.int(50, MOST_CUT_MS));
    if (kind === "cut off") this.#cut(this.#all, schedule.int(50, MOST_CUT_MS));
  }

  /** Cuts an owner off for so long that a ring change goes on without it. */
  lose(): void {
    this.#cut(this.#world.schedule.odds(0.5) ? this.#all : [REGION], LONG_CUT_MS);
  }

  #cut(others: readonly string[], ms: number): void {
    const owner = this.#world.anyOwner();
    this.#world.tell(`nothing passes between ${owner} and ${others} for ${ms} ms`);
    for (const other of others) this.#world.network.cut(owner, other, ms);
  }

  get #all(): string[] {
    return [...this.#objects, REGION, ...this.#isolates.map(({ machine }) => machine.name)];
  }

  get #objects(): string[] {
    return [...this.#world.objects.disks.keys()];
  }
}
