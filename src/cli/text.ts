/** Words and tables that several commands print. */
import Table from "cli-table3";

/** Prints an answer as text, or as JSON. */
export function print({ json }: { json?: true | undefined }, answer: unknown, text: string): void {
  process.stdout.write(`${json ? JSON.stringify(answer, null, 2) : text}\n`);
}

export function tableOf(head: string[], rows: readonly unknown[][]): string {
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  table.push(...rows.map((row) => row.map((cell) => visible(String(cell ?? "")))));
  return table.toString();
}

/** What clients write must not move a terminal's cursor, or turn a line round. */
function visible(text: string): string {
  return text.replace(
    /[^\n\P{C}]/gu,
    (sign) => `\\u${(sign.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/** Writes a number with its noun: "1 line", "2 lines". */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}
