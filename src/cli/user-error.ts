/** Mistakes of the person who typed the command: one line each says what it is and what to do. */

/** A line of a file that has no line ends would fill the screen. */
const MAX_LINE_CHARS = 1_000;

export class UserError extends Error {
  override readonly name = "UserError";

  constructor(...mistakes: string[]) {
    super(mistakes.map(oneLine).join("\n"));
  }
}

/**
 * Makes one line of a text. A file or a server may have written anything into it. So the line keeps
 * no character that moves a terminal's cursor, or colours its text.
 */
export function oneLine(text: string): string {
  return text
    .replace(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, MAX_LINE_CHARS);
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

/** Says why something could not be done with a file. */
export function whyFailed(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? String(error.code) : "";
  if (code === "ENOENT") return "no such file or folder";
  if (code === "EISDIR") return "is a directory: name a file in it";
  if (code === "EACCES") return "permission denied";
  if (/^Z(?:STD)?_/.test(code)) return "is cut off or damaged, or not packed as its name says";
  return error.message;
}
