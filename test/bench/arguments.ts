/** The command line of `npm run bench`: read, checked, and filled in. */
import { parseArgs } from "node:util";
import type { WorkloadName } from "./workloads.ts";

export const USAGE = `npm run bench -- [options]

  --quick        under a minute: fewer clients, one short round
  --work LIST    workloads and figures, of a,b,c,d,latency,far,batches (all)
  --rounds N     rounds, 1 to 100 (5)
  --seconds S    measured in each round, 0.1 to 60 (4)
  --json FILE    writes the figures
  --svg FILE     writes the chart
  --help         shows this
`;

/** A workload, or what else can be measured through the network. */
export type Work = WorkloadName | "latency" | "far" | "batches";

export interface Arguments {
  help: boolean;
  work: Work[];
  rounds: number;
  seconds: number;
  warmUpSeconds: number;
  clients: number;
  primingSeconds: number;
  /** Batches in each round. */
  batches: number;
  json: string | undefined;
  svg: string | undefined;
}

const NAMES: readonly Work[] = ["a", "b", "c", "d", "latency", "far", "batches"];

/** @throws {TypeError} naming the option, the rule and the value */
export function readArguments(args: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      work: { type: "string", default: NAMES.join(",") },
      rounds: { type: "string" },
      seconds: { type: "string" },
      json: { type: "string" },
      svg: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const { quick, help, json, svg } = values;
  const work = values.work.split(",") as Work[];
  const stranger = work.find((name) => !NAMES.includes(name));
  if (stranger !== undefined) fail("work", `must be a list of ${NAMES.join(", ")}`, values.work);
  const rounds = Number(values.rounds ?? (quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    fail("rounds", "must be a whole number from 1 to 100", values.rounds);
  }
  const seconds = Number(values.seconds ?? (quick ? 0.5 : 4));
  if (!(seconds >= 0.1 && seconds <= 60)) {
    fail("seconds", "must be a number from 0.1 to 60", values.seconds);
  }
  return {
    help,
    work: NAMES.filter((name) => work.includes(name)),
    rounds,
    seconds,
    warmUpSeconds: quick ? 0.2 : 1,
    clients: quick ? 5_000 : 100_000,
    primingSeconds: quick ? 2 : 60,
    batches: quick ? 200 : 2_000,
    json,
    svg,
  };
}

function fail(option: string, rule: string, value: unknown): never {
  throw new TypeError(`--${option} ${rule}, not ${JSON.stringify(value)}`);
}
