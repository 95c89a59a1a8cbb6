/**
 * `npm run bench:cost`: dollars for a billion checks in a month, from what Turnpike does on this
 * machine under workloads (a) and (b).
 *
 * How many checks share an RPC depends on how busy an isolate is: an almost idle one has one each.
 */
import { CONTENDERS, TURNPIKE } from "./contenders.ts";
import { type Cost, costElsewhere, costOf, type Usage } from "./cost.ts";
import { titled } from "./report.ts";
import { run } from "./rounds.ts";
import { workloads } from "./workloads.ts";

const CHECKS = 1_000_000_000;
const OWNERS = 4;
const HOURS_A_MONTH = 730;
const CLIENTS = 100_000;
const LOAD = { connections: 64, warmUpSeconds: 2, seconds: 8 };

const lines: string[][] = [];
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
  const usage = {
    checks: CHECKS,
    checksPerRpc: row.checksPerRpc,
    // The calls are counted a moment after the requests.
    cachedShare: Math.max(0, 1 - row.checksPerRpc / row.requestsPerRpc),
    ownerHours: OWNERS * HOURS_A_MONTH,
    rowsPerOwnerHour: (row.rowsPerSecond * 3_600) / OWNERS,
  };
  add(`Turnpike, ${workload.title}`, usage, costOf(usage));
}
for (const [name, total] of Object.entries(costElsewhere(CHECKS))) {
  lines.push([name, "", "", "", "", "", amount(total)]);
}
const head = ["", "checks/RPC", "cached", "requests", "duration", "rows", "$"];
console.log(titled("A billion checks a month, dollars", head, lines));

function add(name: string, usage: Usage, { requests, duration, rows, total }: Cost): void {
  const { checksPerRpc, cachedShare } = usage;
  const cached = `${(cachedShare * 100).toFixed(0)} %`;
  const dollars = [requests, duration, rows, total].map(amount);
  lines.push([name, checksPerRpc.toFixed(1), cached, ...dollars]);
}

function amount(dollars: number): string {
  return dollars.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}
