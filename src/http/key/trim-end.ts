/**
 * Removes characters from the end of a text that a client wrote. `text.replace(/[…]+$/, "")` would
 * take quadratic time.
 */
export function trimEnd(text: string, trimmed: RegExp): string {
  let end = text.length;
  while (end > 0 && trimmed.test(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}
