/**
 * `npm run bench:events`: requests a second with one event counted for each, ÷ without. The aim is
 * 0.95.
 */
import { CONTENDERS, type Contender, FLOOR, TURNPIKE } from "./contenders.ts";
import { run } from "./rounds.ts";
import { workloads } from "./workloads.ts";

const CONNECTIONS = 64;
const [rounds = 5, seconds = 10] = process.argv.slice(2).map(Number);

const without = CONTENDERS.find(({ name }) => name === TURNPIKE) as Contender;
const counting = {
  ...without,
  name: "turnpike-events",
  file: "turnpike-events.ts",
  hasEvents: true,
};
const floor = CONTENDERS.find(({ name }) => name === FLOOR) as Contender;

const rows = await run({
  contenders: [floor, without, counting],
  workload: workloads(10_000).a,
  load: { connections: CONNECTIONS, warmUpSeconds: 2, seconds },
  rounds,
  primingSeconds: 30,
  onStep: () => {},
});
const cpuOf = (name: string) =>
  rows.find((row) => row.contender === name)?.requestsPerCpuSecond ?? Number.NaN;
for (const { contender, requestsPerSecond, turnpikeToIt, errors } of rows) {
  const cpu = (cpuOf(contender) / cpuOf(TURNPIKE)).toFixed(3);
  const ratio = `, ${(1 / turnpikeToIt).toFixed(3)} of without; a CPU second ${cpu}`;
  console.log(
    `${contender}: ${Math.round(requestsPerSecond)} requests/s, ${errors} errors${ratio}`,
  );
}
