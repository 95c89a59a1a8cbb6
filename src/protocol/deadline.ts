import type { Runtime } from "../runtime.ts";

/** A call took too long. It may still have had its effect. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/** Waits for a call up to `ms`. @throws {DeadlineError} if it takes longer */
export function withDeadline<Reply>(
  ms: number,
  call: Promise<Reply>,
  runtime: Pick<Runtime, "wait">,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    call.then(resolve, reject);
    const end = () => reject(new DeadlineError(`no answer within ${ms} ms`));
    // If the whole isolate has stalled, the answer may have arrived behind this timer.
    runtime
      .wait(ms, call)
      .then(() => runtime.wait(0))
      .then(end, end);
  });
}
