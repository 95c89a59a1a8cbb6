/**
 * One request in an isolate. When its client leaves, the request ends at once, wherever it waits.
 * If it keeps something alive, it ends after that, as in the runtime.
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

  /** The request whose code runs now; undefined outside a request. */
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

  /** Makes the client leave. */
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

  async wait(ms: number, end?: AbortSignal | Promise<unknown>): Promise<void> {
    await this.#machine.wait(ms, end);
    if (!this.isAlive) await new Promise(() => {});
  }
}
