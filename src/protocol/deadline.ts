import type { Runtime } from "../runtime.ts";

/** A call took too long. It may still have had its effect. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/** Waits for a call up to `ms`. @throws {DeadlineError} if it takes longer */
export async function withDeadline<Reply>(
  ms: number,
  call: Promise<Reply>,
  runtime: Pick<Runtime, "wait">,
): Promise<Reply> {
  const late = async () => {
    await runtime.wait(ms);
    // If the whole isolate has stalled, the answer may have arrived behind this timer.
    await runtime.wait(0);
    throw new DeadlineError(`no answer within ${ms} ms`);
  };
  return Promise.race([call, late()]);
}
