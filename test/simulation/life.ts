/**
 * One request in an isolate. When its client leaves, all it does is over at once, wherever it waits,
 * unless something of it is kept alive: as in the runtime, which then ends the whole request later.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Machine } from "./machine.ts";

const present = new AsyncLocalStorage<Life>();

export class Life {
  readonly #machine: Machine;
  #isLeft = false;
  #kept = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The request whose code runs in an isolate; undefined if it is none's. */
  static get present(): Life | undefined {
    return present.getStore();
  }

  get name(): string {
    return this.#machine.name;
  }

  get isAlive(): boolean {
    return this.#machine.isAlive && (!this.#isLeft || this.#kept > 0);
  }

  get storage(): Machine["storage"] {
    return this.#machine.storage;
  }

  run<Result>(act: () => Result): Result {
    return present.run(this, act);
  }

  /** Its client goes away. */
  leave(): void {
    this.#isLeft = true;
  }

  keepAlive(task: Promise<unknown>): void {
    this.#kept++;
    const ended = () => {
      this.#kept--;
    };
    task.then(ended, ended);
  }

  async wait(ms: number): Promise<void> {
    await this.#machine.wait(ms);
    if (!this.isAlive) await new Promise(() => {});
  }
}
