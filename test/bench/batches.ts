/** Batches of 100 through RPC to one owner, beside an object that only adds, and without RPC. */
import { bundle } from "./contenders.ts";
import { median } from "./statistics.ts";
import { startWorkerd, type WorkerdServer } from "./workerd-server.ts";

/** Checks per second: of an object that only adds one, of an owner, and inside the owner. */
export interface BatchFigures {
  add: number;
  check: number;
  inside: number;
  /** An owner's ÷ those of the object that only adds, in the same round. */
  checkToAdd: number;
  /** What is decided inside ÷ what is decided through RPC, in the same round. */
  insideToCheck: number;
}

const CHECKS_A_BATCH = 100;
const WAYS = ["add", "check", "inside"] as const;

/** @param batches in each round and way */
export async function batches(rounds: number, count: number): Promise<BatchFigures> {
  const script = await bundle({ file: "batches.ts" });
  const measured: Record<(typeof WAYS)[number], number>[] = [];
  for (let round = 0; round < rounds; round++) {
    // Anew each time: how fast either is for good depends on how a process began.
    const server = await startWorkerd({ script, hasObjects: true, vars: {} });
    const figures = { add: 0, check: 0, inside: 0 };
    try {
      for (const way of WAYS) await checksPerSecond(server, way, count);
      for (const way of WAYS) figures[way] = await checksPerSecond(server, way, count);
    } finally {
      await server.stop();
    }
    measured.push(figures);
  }
  const middle = (read: (figures: (typeof measured)[number]) => number) =>
    median(measured.map(read));
  return {
    add: middle(({ add }) => add),
    check: middle(({ check }) => check),
    inside: middle(({ inside }) => inside),
    checkToAdd: middle(({ add, check }) => check / add),
    insideToCheck: middle(({ check, inside }) => inside / check),
  };
}

async function checksPerSecond(
  { url }: WorkerdServer,
  way: (typeof WAYS)[number],
  count: number,
): Promise<number> {
  const startMs = performance.now();
  const response = await fetch(`${url}${way}?batches=${count}`);
  if (!response.ok) throw new Error(`${way} answered with ${response.status}`);
  return (count * CHECKS_A_BATCH * 1_000) / (performance.now() - startMs);
}
