/**
 * One key asked for at ten times what its owner can take, and what its neighbours see of it.
 *
 * For comparison the same requests are sent under a key of another owner: what they take of the
 * machine is the same, and a deployed owner has one for itself.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { median, percentile } from "../bench/statistics.ts";
import { Ledger } from "./ledger.ts";
import { type Row, rowOf, type Scale } from "./row.ts";
import { OWNERS, Site } from "./site.ts";
import { Traffic } from "./traffic.ts";

/** An owner here takes one call at a time, each that long: 100 a second, or fewer. */
const CALL_MS = 10;
/** Of what an owner takes. */
const HEAT = 10;
const OTHERS_PER_SECOND = 30;
/** Enough that the hot key's clients never wait for one another. */
const HOT_CONNECTIONS = 1_000;
const ROUNDS = 11;
const MAX_SLOWDOWN = 2;
/** Looked at for keys of either owner. */
const KEYS = 900;

/** @param limit of every key: far below what the hot one asks for, or far above */
export async function hotKey(fault: string, limit: number, scale: Scale): Promise<Row> {
  const { seconds, connections, isTimed, deadline, atMostPerSecond = 1_000 } = scale;
  const callMs = Math.max(CALL_MS, (HEAT * 1_000) / atMostPerSecond);
  const policies = JSON.stringify([{ limit, window: "366d" }]);
  const site = await Site.open({ POLICIES: policies, OWNERS: "2", DEADLINE: deadline });
  const others = new Ledger(limit);
  const hot = new Ledger(limit);
  const quietMs: number[] = [];
  const hotMs: number[] = [];
  const keys = Array.from({ length: KEYS }, (_, key) => key);
  const owners = await site.ownersOf(keys);
  const near = keys.filter((key) => owners[key] === OWNERS[0]);
  const far = keys.filter((key) => owners[key] === OWNERS[1]);
  const url = () => site.url;
  /** @returns the time within which 99 of 100 of the neighbours are answered */
  const beside = async (hotKey: number): Promise<number> => {
    const heat = new Traffic({
      ledger: hot,
      connections: HOT_CONNECTIONS,
      url,
      pick: () => hotKey,
      perSecond: (HEAT * 1_000) / callMs,
    });
    await sleep(500);
    const before = others.latenciesMs.length;
    const pick = () => near[1 + Math.floor(Math.random() * (near.length - 1))] as number;
    const perSecond = OTHERS_PER_SECOND;
    const traffic = new Traffic({ ledger: others, connections, url, pick, perSecond });
    await sleep(seconds * 1_000);
    await traffic.stop();
    await heat.stop();
    return percentile(others.latenciesMs.slice(before), 0.99);
  };
  try {
    for (const owner of OWNERS.slice(0, 2)) await site.fail(owner, { kind: "slow", ms: callMs });
    await beside(far[0] as number);
    for (let round = 0; round < (isTimed ? ROUNDS : 1); round++) {
      quietMs.push(await beside(far[0] as number));
      hotMs.push(await beside(near[0] as number));
    }
  } finally {
    await site.close();
  }
  const slowdown = median(hotMs) / median(quietMs);
  const broken: string[] = [];
  if (others.inexact > 0) broken.push(`${others.inexact} of the others not exact`);
  if (isTimed && slowdown > MAX_SLOWDOWN) broken.push("the others wait");
  others.requests += hot.requests;
  others.serverErrors += hot.serverErrors;
  const ms = `p99 ${median(quietMs).toFixed(1)} → ${median(hotMs).toFixed(1)} ms`;
  const also = `of the others ${others.inexact} not exact, ${ms}, × ${slowdown.toFixed(2)}`;
  return rowOf({ fault, ledger: others, also, broken });
}
