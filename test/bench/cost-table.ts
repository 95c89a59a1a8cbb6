/**
 * `npm run bench:cost`: dollars for a billion checks in a month, from what Turnpike does on this
 * machine under workloads (a) and (b).
 *
 * How many checks share an RPC depends on how busy an isolate is: an almost idle one has one each.
 * Rows are those of a billion checks evenly over the month, and in a line of their own those of
 * owners that are as busy all month as under the workload, which is many billions.
 */
import { CONTENDERS, TURNPIKE } from "./contenders.ts";
import { costElsewhere, costOf, type Usage } from "./cost.ts";
import { titled } from "./report.ts";
import { run } from "./rounds.ts";
import { rowsAnHour } from "./rows.ts";
import { workloads } from "./workloads.ts";

const CHECKS = 1_000_000_000;
const OWNERS = 4;
const HOURS_A_MONTH = 730;
const CLIENTS = 100_000;
/** For the table of rows: changes a second in one owner. */
const PACES = [100, 1_000, 5_000];
const KEYS = [200, CLIENTS / OWNERS];
const LOAD = { connections: 64, warmUpSeconds: 2, seconds: 8 };

const lines: string[][] = [];
const evenRows = await rowsAnHour(CLIENTS / OWNERS, CHECKS / (OWNERS * HOURS_A_MONTH * 3_600));
const { a, b } = workloads(CLIENTS);
for (const workload of [a, b]) {
  console.error(`measuring ${workload.title} …`);
  const [row] = await run({
    contenders: CONTENDERS.filter(({ name }) => name === TURNPIKE),
    workload,
    load: LOAD,
    rounds: 1,
    primingSeconds: 0,
    onStep: () => {},
  });
  if (!row) continue;
  const usage: Usage = {
    checks: CHECKS,
    checksPerRpc: row.checksPerRpc,
    // The calls are counted a moment after the requests.
    cachedShare: Math.max(0, 1 - row.checksPerRpc / row.requestsPerRpc),
    ownerHours: OWNERS * HOURS_A_MONTH,
    rowsPerOwnerHour: evenRows,
  };
  add(`Turnpike, ${workload.title}`, usage);
  const rowsPerOwnerHour = (row.rowsPerSecond * 3_600) / OWNERS;
  add("the same, rows of full load all month", { ...usage, rowsPerOwnerHour });
}
for (const [name, total] of Object.entries(costElsewhere(CHECKS))) {
  lines.push([name, "", "", "", "", "", "", amount(total)]);
}
const head = ["", "checks/RPC", "cached", "rows/hour", "requests", "duration", "rows", "$"];
console.log(titled("A billion checks a month, dollars", head, lines));
const rows: string[][] = [];
for (const keys of KEYS) {
  const hours: string[] = [];
  for (const pace of PACES) hours.push((await rowsAnHour(keys, pace)).toFixed(0));
  rows.push([`${keys} keys`, ...hours]);
}
const paces = ["", ...PACES.map((pace) => `${pace} changes/s`)];
console.log(titled("Rows that an owner puts and deletes in an hour", paces, rows));

function add(name: string, usage: Usage): void {
  const { checksPerRpc, cachedShare, rowsPerOwnerHour } = usage;
  const { requests, duration, rows, total } = costOf(usage);
  const cached = `${(cachedShare * 100).toFixed(0)} %`;
  const dollars = [requests, duration, rows, total].map(amount);
  lines.push([name, checksPerRpc.toFixed(1), cached, rowsPerOwnerHour.toFixed(0), ...dollars]);
}

function amount(dollars: number): string {
  return dollars.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}
