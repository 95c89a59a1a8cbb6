/** A mistake of the person who typed the command: one line says what it is and what to do. */
export class UserError extends Error {
  override readonly name = "UserError";
}
