/** Words and tables that several commands print. */
import Table from "cli-table3";
import { formatDuration } from "../limit/duration.ts";

export function tableOf(head: string[], rows: readonly unknown[][]): string {
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(...rows.map((row) => row.map((cell) => String(cell ?? ""))));
  return table.toString();
}

/** Writes a number with its noun: "1 line", "2 lines". */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

/** Writes a duration in whole seconds, rounded up: `inSeconds(13_196) // "14s"`. */
export function inSeconds(ms: number): string {
  return formatDuration(Math.ceil(ms / 1_000) * 1_000);
}
