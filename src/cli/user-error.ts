/** A mistake of the person who typed the command: one line says what it is and what to do. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/**
 * Does something with a file, say.
 *
 * @param what names it in the error
 * @throws {UserError} if that fails
 */
export function named<Value>(what: string, act: () => Value): Value {
  try {
    return act();
  } catch (error) {
    throw new UserError(`${what}: ${whyFailed(error)}`);
  }
}

function whyFailed(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isFolder = "code" in error && error.code === "EISDIR";
  return isFolder ? "is a directory: name a file in it" : error.message;
}
