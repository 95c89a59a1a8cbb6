/** Words and tables that several commands print. */
import Table from "cli-table3";

/** Prints an answer as text, or as JSON. */
export function print({ json }: { json?: true | undefined }, answer: unknown, text: string): void {
  process.stdout.write(`${json ? JSON.stringify(answer, null, 2) : text}\n`);
}

export function tableOf(head: string[], rows: readonly unknown[][]): string {
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  table.push(...rows.map((row) => row.map((cell) => visible(String(cell ?? ""), /[^\n\P{C}]/gu))));
  return table.toString();
}

/**
 * Shows hidden signs as numbers. What clients write must not move a terminal's cursor, turn a line
 * round, or end a comment.
 *
 * @param signs those to show as numbers; default all that nobody sees
 */
export function visible(text: string, signs = /\p{C}/gu): string {
  return text.replace(
    signs,
    (sign) => `\\u${(sign.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/** Writes a number with its noun: "1 line", "2 lines". */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}
