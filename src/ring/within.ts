/** A call took too long. What it was for may have happened. */
export class LateError extends Error {
  override readonly name = "LateError";
}

/**
 * Waits for a call, but no longer than `ms`.
 *
 * @throws {LateError} if it takes longer
 */
export async function within<Reply>(
  ms: number,
  call: Promise<Reply>,
  wait: (ms: number) => Promise<void>,
): Promise<Reply> {
  const late = async () => {
    await wait(ms);
    // After a stall of the whole isolate the answer may have arrived behind this timer.
    await wait(0);
    throw new LateError(`no answer within ${ms} ms`);
  };
  return Promise.race([call, late()]);
}
