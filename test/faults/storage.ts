/** Storage that fails to write for a while: nothing is answered wrongly, and all is on disk later. */
import { setTimeout as sleep } from "node:timers/promises";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import { Ledger } from "./ledger.ts";
import { type Row, rowOf, type Scale } from "./row.ts";
import { LIMIT, Site } from "./site.ts";
import { comingKeys, Traffic } from "./traffic.ts";

/** For a checkpoint that is on its way on a busy machine, and answers that are on theirs. */
const MARGIN_MS = 500;

/**
 * Storage fails twice. The first time it comes back, and an interval later the site is killed: what
 * was counted meanwhile must be known to the next. The second time it is killed while it fails:
 * what was on disk before must be known.
 */
export async function fill({ seconds, connections, atMostPerSecond }: Scale): Promise<Row> {
  const site = await Site.open();
  const ledger = new Ledger(LIMIT);
  const pick = comingKeys(20);
  const sendFor = async (ms: number) => {
    const traffic = new Traffic({
      ledger,
      connections,
      url: () => site.url,
      pick,
      atMostPerSecond,
    });
    await sleep(ms);
    await traffic.stop();
  };
  const losses: { fromMs: number; toMs: number }[] = [];
  try {
    await sendFor(seconds * 1_000 + CHECKPOINT_INTERVAL_MS);
    await site.failAll({ kind: "full" });
    await sendFor(seconds * 1_000 + CHECKPOINT_INTERVAL_MS);
    await site.failAll({ kind: "none" });
    await sleep(CHECKPOINT_INTERVAL_MS + MARGIN_MS);
    await site.kill();
    await site.start();
    await sendFor(seconds * 1_000);
    await site.failAll({ kind: "full" });
    const fullMs = Date.now();
    await sendFor(seconds * 1_000 + CHECKPOINT_INTERVAL_MS);
    await site.kill();
    const fromMs = fullMs - CHECKPOINT_INTERVAL_MS - MARGIN_MS;
    losses.push({ fromMs, toMs: Date.now() });
    await site.start();
    await sendFor(seconds * 1_000);
  } finally {
    await site.close();
  }
  const broken: string[] = [];
  if (!site.output.includes("checkpoint-failed")) broken.push("the fault was not noticed");
  if (site.output.includes("checkpoint-refused")) broken.push("a checkpoint was refused");
  return rowOf({ fault: "storage fails to write", ledger, losses, broken });
}
