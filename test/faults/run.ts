/**
 * `npm run test:faults`: a really running Turnpike meets every fault, one after the other.
 *
 * Prints one table, and ends with an error if something in it is not as it must be.
 */
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { machine } from "../bench/report.ts";
import { FAULTS } from "./faults.ts";
import { table } from "./report.ts";
import { QUICK, type Row, WHOLE } from "./row.ts";

const USAGE = `npm run test:faults -- [options]

  --quick        each fault briefly, and no figure that depends on the machine's speed
  --only LIST    of ${Object.keys(FAULTS).join(", ")}
  --help         shows this
`;

/** Between two lines of progress where nobody watches. */
const PROGRESS_MS = 10_000;

function readCommandLine() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    const names = values.only?.split(",").map((name) => name.trim()) ?? Object.keys(FAULTS);
    const stranger = names.find((name) => !FAULTS[name]);
    if (stranger === undefined) return { ...values, names };
    throw new TypeError(`--only must be a list of faults, and there is no ${stranger}`);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

/** Returns the rows, and what does not hold. A fault that throws is named and has no row. */
async function meetAll(names: readonly string[], isQuick: boolean) {
  const bar = new SingleBar({
    stream: process.stderr,
    format: "{bar} {value}/{total} · {name}",
    clearOnComplete: true,
    noTTYOutput: true,
    notTTYSchedule: PROGRESS_MS,
  });
  const rows: Row[] = [];
  const broken: string[] = [];
  bar.start(names.length, 0, { name: "" });
  try {
    for (const name of names) {
      bar.update({ name });
      try {
        const row = await (FAULTS[name] as (typeof FAULTS)[string])(isQuick ? QUICK : WHOLE);
        rows.push(row);
        broken.push(...row.broken.map((what) => `${row.fault}: ${what}`));
      } catch (error) {
        broken.push(`${name}: ${error instanceof Error ? error.stack : error}`);
      }
      bar.increment();
    }
  } finally {
    bar.stop();
  }
  return { rows, broken };
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
const { names, quick, help } = readCommandLine();
if (help) console.log(USAGE);
else {
  const { rows, broken } = await meetAll(names, quick);
  console.log(`${machine()}\n\n${table(rows)}`);
  if (broken.length > 0) throw new Error(`it does not hold:\n${broken.join("\n")}`);
}
