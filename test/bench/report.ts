/** The figures as tables for a terminal. */
import { cpus } from "node:os";
import Table from "cli-table3";
import type { BatchFigures } from "./batches.ts";
import type { LatencyRow } from "./latency.ts";
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
  const lines = rows.map((row) => [
    row.contender,
    whole(row.requestsPerSecond),
    ratio(row.toFloor),
    ratio(row.toBareRpc),
    ratio(row.turnpikeToIt),
    ratio(row.p50Ms),
    ratio(row.p99Ms),
    whole(row.requestsPerCpuSecond),
    ratio(row.checksPerRpc),
    ratio(row.requestsPerRpc),
    `${(row.denied * 100).toFixed(1)} %`,
    String(row.errors),
  ]);
  return titled(title, HEADINGS, lines);
}

export function latencyTable(title: string, rows: readonly LatencyRow[]): string {
  return titled(
    title,
    ["contender", "requests/s", "p50 ms", "p99 ms", "p99 ÷ bare RPC", "errors"],
    rows.map((row) => [
      row.contender,
      whole(row.requestsPerSecond),
      ratio(row.p50Ms),
      ratio(row.p99Ms),
      ratio(row.toBareRpc),
      String(row.errors),
    ]),
  );
}

export function batchTable(figures: BatchFigures): string {
  return titled(
    "Batches of 100 to one owner",
    ["", "checks/s", ""],
    [
      ["an object that only adds", whole(figures.add), ""],
      ["owner, through RPC", whole(figures.check), `${ratio(figures.checkToAdd)} ÷ adding`],
      ["owner, inside", whole(figures.inside), `${ratio(figures.insideToCheck)} ÷ through RPC`],
    ],
  );
}

/** A table with a line above: the first column is text, the others are numbers. */
export function titled(title: string, head: string[], lines: readonly string[][]): string {
  const printed = new Table({
    head,
    colAligns: head.map((_, at) => (at === 0 ? "left" : "right")),
    style: { head: [], border: [], compact: true },
  });
  printed.push(...lines);
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
  if (!Number.isFinite(value)) return "–";
  return value < 1_000 ? value.toFixed(value < 10 ? 2 : 1) : whole(value);
}
