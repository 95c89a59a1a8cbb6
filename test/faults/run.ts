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

async function meetAll(names: readonly string[], isQuick: boolean): Promise<Row[]> {
  const bar = new SingleBar({
    stream: process.stderr,
    format: "{bar} {value}/{total} · {name}",
    clearOnComplete: true,
    noTTYOutput: true,
    notTTYSchedule: PROGRESS_MS,
  });
  const rows: Row[] = [];
  bar.start(names.length, 0, { name: "" });
  try {
    for (const name of names) {
      bar.update({ name });
      rows.push(await (FAULTS[name] as (typeof FAULTS)[string])(isQuick ? QUICK : WHOLE));
      bar.increment();
    }
  } finally {
    bar.stop();
  }
  return rows;
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
const { names, quick, help } = readCommandLine();
if (help) console.log(USAGE);
else {
  const rows = await meetAll(names, quick);
  console.log(`${machine()}\n\n${table(rows)}`);
  const broken = rows.flatMap(({ fault, broken }) => broken.map((what) => `${fault}: ${what}`));
  if (broken.length > 0) throw new Error(`it does not hold:\n${broken.join("\n")}`);
}
