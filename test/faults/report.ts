/** The table for a terminal. */
import { titled } from "../bench/report.ts";
import type { Row } from "./row.ts";

const HEADINGS = [
  "fault",
  "requests",
  "5xx",
  "over-admitted",
  "bound",
  "recovered after",
  "besides",
  "holds",
];

export function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    row.fault,
    row.requests.toLocaleString("en"),
    String(row.serverErrors),
    row.overAdmitted.toLocaleString("en"),
    row.bound.toLocaleString("en"),
    row.recoveredSeconds === undefined ? "always exact" : `${row.recoveredSeconds.toFixed(2)} s`,
    row.also,
    row.broken.length === 0 ? "yes" : "no",
  ]);
  return titled("What a site lets pass above its limits, and may", HEADINGS, lines);
}
