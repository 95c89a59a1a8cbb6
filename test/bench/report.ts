/** The figures as a table for a terminal. */
import { cpus } from "node:os";
import Table from "cli-table3";
import type { Row } from "./rounds.ts";

const HEADINGS = [
  "contender",
  "requests/s",
  "÷ floor",
  "÷ bare RPC",
  "Turnpike ÷ it",
  "p50 ms",
  "p99 ms",
  "requests/CPU-s",
  "checks/RPC",
  "requests/RPC",
  "denied",
  "errors",
];

export function table(title: string, rows: readonly Row[]): string {
  const printed = new Table({
    head: HEADINGS,
    colAligns: ["left", ...HEADINGS.slice(1).map(() => "right" as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    printed.push([
      row.contender,
      whole(row.requestsPerSecond),
      ratio(row.toFloor),
      ratio(row.toBareRpc),
      ratio(row.turnpikeToIt),
      ratio(row.p50Ms),
      ratio(row.p99Ms),
      whole(row.requestsPerCpuSecond),
      ratio(row.checksPerRpc),
      row.requestsPerRpc > 1e4 ? whole(row.requestsPerRpc) : ratio(row.requestsPerRpc),
      `${(row.denied * 100).toFixed(1)} %`,
      String(row.errors),
    ]);
  }
  return `${title}\n${printed}\n`;
}

/** What the figures were measured on, for whoever compares them with his own. */
export function machine(): string {
  const [{ model = "unknown CPU" } = {}] = cpus();
  return `${cpus().length} × ${model.trim()}, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}

function whole(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value)
    ? "–"
    : Math.round(value).toLocaleString("en");
}

function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(value < 10 ? 2 : 1) : "–";
}
