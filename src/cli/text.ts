/** Words and tables that several commands print. */
import Table from "cli-table3";

/** Prints an answer as text, or as JSON. */
export function print({ json }: { json?: true | undefined }, answer: unknown, text: string): void {
  process.stdout.write(`${json ? JSON.stringify(answer, null, 2) : text}\n`);
}

export function tableOf(head: string[], rows: readonly unknown[][]): string {
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  table.push(...rows.map((row) => row.map((cell) => String(cell ?? ""))));
  return table.toString();
}

/** Writes a number with its noun: "1 line", "2 lines". */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}
