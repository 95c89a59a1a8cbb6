/**
 * The reporter. It ends a run in which every file has ended but a runtime does not say so: what
 * says so is lost at times, and Vitest would wait for it without an end and print no summary.
 */
import { DefaultReporter, type TestModule, type TestSpecification } from "vitest/node";

/** What a worker needs between its last test and its end, on a busy machine. */
const END_MS = 30_000;

export class RunEnd extends DefaultReporter {
  #filesLeft = 0;
  #timer: NodeJS.Timeout | undefined;

  override onTestRunStart(files: readonly TestSpecification[]): void {
    this.#filesLeft = files.length;
    super.onTestRunStart(files);
  }

  override onTestModuleEnd(file: TestModule): void {
    super.onTestModuleEnd(file);
    this.#filesLeft--;
    if (this.#filesLeft === 0) this.#timer = setTimeout(() => this.#end(), END_MS);
  }

  override onTestRunEnd(...run: Parameters<DefaultReporter["onTestRunEnd"]>): void {
    clearTimeout(this.#timer);
    super.onTestRunEnd(...run);
  }

  #end(): void {
    const files = this.ctx.state.getTestModules();
    const errors = this.ctx.state.getUnhandledErrors() as Parameters<this["onTestRunEnd"]>[1];
    const hasFailed = errors.length > 0 || files.some((file) => !file.ok());
    this.onTestRunEnd(files, errors, hasFailed ? "failed" : "passed");
    process.exit(hasFailed ? 1 : 0);
  }
}
