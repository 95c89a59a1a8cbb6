/**
 * Waits for a call, but no longer than `ms`.
 *
 * @throws {Error} if it takes longer; what it was called for may have happened
 */
export async function within<Reply>(
  ms: number,
  call: Promise<Reply>,
  wait: (ms: number) => Promise<void>,
): Promise<Reply> {
  const late = wait(ms).then(() => {
    throw new Error(`no answer within ${ms} ms`);
  });
  return Promise.race([call, late]);
}
