/**
 * `npm run bench:micro`: the parts by themselves, in one process, without network or objects.
 *
 * With `--quick` it only shows that they run.
 */
import { parseArgs } from "node:util";
import { algorithms } from "./micro/algorithms.ts";
import { lookup } from "./micro/lookup.ts";
import { allowed, denied } from "./micro/middleware.ts";
import { bytesPerKey, owners } from "./micro/owners.ts";
import { tables } from "./micro/tables.ts";
import { setTime } from "./micro/timing.ts";
import { machine, titled } from "./report.ts";

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const { quick } = values;
const many = quick ? 10_000 : 1_000_000;
const count = many.toLocaleString("en");
if (quick) setTime(2);

console.log(`${machine()}\n`);
// First: what others leave behind would count as freed.
print(`Memory of ${count} counters`, "bytes", await bytesPerKey(many));
print("From address to owner", "ns", await lookup());
print("Deciding one check", "ns", await algorithms());
print(
  "The counter table",
  "ns",
  await tables([10_000, 100_000, 1_000_000].filter((size) => size <= many)),
);
print(
  "An owner",
  "ns a check",
  await owners([1_000, 10_000, 100_000, 1_000_000].filter((size) => size <= many)),
);
print("A request that may pass, in process", "ns", await allowed());
print("A request that may not, in process", "ns", await denied());

/** Prints figures, and beside each its ratio to the first of its table. */
function print(title: string, unit: string, figures: Record<string, number>): void {
  const [first = Number.NaN] = Object.values(figures);
  const lines = Object.entries(figures).map(([name, value]) => [
    name,
    value.toFixed(value < 10 ? 2 : 0),
    (value / first).toFixed(2),
  ]);
  console.log(titled(title, ["", unit, "÷ first"], lines));
}
