/**
 * The reporter. It ends a run in which every file has ended but a runtime does not say so: what
 * says so is lost at times, and Vitest would wait for it without an end and print no summary.
 */
import { DefaultReporter, type TestModule, type TestSpecification } from "vitest/node";

/** What a worker needs between its last test and its end, on a busy machine. */
const END_MS = 30_000;

export class RunEnd extends DefaultReporter {
  readonly #filesLeft = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  override onTestRunStart(files: readonly TestSpecification[]): void {
    for (const { taskId } of files) this.#filesLeft.add(taskId);
    super.onTestRunStart(files);
  }

  override onTestModuleEnd(file: TestModule): void {
    super.onTestModuleEnd(file);
    this.#filesLeft.delete(file.id);
    if (this.#filesLeft.size === 0) this.#timer = setTimeout(() => this.#end(), END_MS);
  }

  override onTestRunEnd(...run: Parameters<DefaultReporter["onTestRunEnd"]>): void {
    clearTimeout(this.#timer);
    super.onTestRunEnd(...run);
  }

  #end(): void {
    const files = this.ctx.state.getTestModules();
    const errors = this.ctx.state.getUnhandledErrors() as Parameters<this["onTestRunEnd"]>[1];
    const hasFailed = errors.length > 0 || files.some(hasNotPassed);
    this.onTestRunEnd(files, errors, hasFailed ? "failed" : "passed");
    process.exit(hasFailed ? 1 : process.exitCode);
  }
}

/** Vitest calls a file `ok` that has not ended. */
function hasNotPassed(file: TestModule): boolean {
  const state = file.state();
  return state !== "passed" && state !== "skipped";
}
