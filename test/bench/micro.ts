/** `npm run bench:micro`: the parts by themselves, in one process, without network or objects. */
import Table from "cli-table3";
import { algorithms } from "./micro/algorithms.ts";
import { checkpoint } from "./micro/checkpoint.ts";
import { lookup } from "./micro/lookup.ts";
import { middleware } from "./micro/middleware.ts";
import { bytesPerKey, owners } from "./micro/owners.ts";
import { tables } from "./micro/tables.ts";
import { machine } from "./report.ts";

console.log(`${machine()}\n`);
print("ns", await lookup());
print("ns", await algorithms());
print("ns", await tables());
print("ns", await owners());
print("bytes", bytesPerKey());
print("ms", await checkpoint());
print("ns", await middleware());

/** Prints figures, and beside each its ratio to the first of its table. */
function print(unit: string, figures: Record<string, number>): void {
  const table = new Table({
    head: ["", unit, "÷ first"],
    colAligns: ["left", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  const [first = Number.NaN] = Object.values(figures);
  for (const [name, value] of Object.entries(figures)) {
    const digits = value < 10 ? 2 : 0;
    table.push([name, value.toFixed(digits), (value / first).toFixed(2)]);
  }
  console.log(`${table}\n`);
}
