/** Owners that lose their memory: the whole runtime killed, single objects aborted or evicted. */
import { setTimeout as sleep } from "node:timers/promises";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import { Ledger } from "./ledger.ts";
import { type Row, rowOf, type Scale } from "./row.ts";
import { LIMIT, OWNERS, Site } from "./site.ts";
import { Traffic, underTraffic } from "./traffic.ts";

/** For a checkpoint that is on its way on a busy machine. */
const WRITE_MS = 500;
const LOST_MS = CHECKPOINT_INTERVAL_MS + WRITE_MS;
/** After which an answer that was given before a crash has been read. */
const READ_MS = 100;
/** The runtime evicts an object that long after its last event. */
const EVICTION_MS = 10_000;
const EVICTIONS_TRIED = 4;
/** So few that each is far above its limit before its owner is evicted. */
const EVICTION_KEYS = 60;

/** `kill -9` in mid-load and a restart, again and again. */
export async function kill(scale: Scale): Promise<Row> {
  const { kills } = scale;
  const { site, ledger, traffic } = await underTraffic(scale);
  const losses: { fromMs: number; toMs: number }[] = [];
  let slowestMs = 0;
  try {
    for (let n = 0; n < kills; n++) {
      // Each time at another moment between two checkpoints.
      await sleep(LOST_MS + (n * CHECKPOINT_INTERVAL_MS) / kills);
      const killedMs = Date.now();
      await site.kill();
      await sleep(READ_MS);
      losses.push({ fromMs: killedMs - LOST_MS, toMs: Date.now() });
      await site.start();
      // Not exact: what the crash has lost could matter for as long as the window.
      const admittedMs = await until(() => ledger.admittedSince(killedMs + 1));
      slowestMs = Math.max(slowestMs, admittedMs - killedMs);
    }
    await sleep(LOST_MS);
  } finally {
    await traffic.stop();
    await site.close();
  }
  const also = `${kills} kills, ${ledger.brokenOff} connections broken`;
  const recoveredSeconds = slowestMs / 1_000;
  return rowOf({ fault: "kill -9 and restart", ledger, losses, recoveredSeconds, also });
}

/** One owner after the other aborted, its memory gone, while the others go on. */
export async function abort(scale: Scale): Promise<Row> {
  const { seconds, kills } = scale;
  const { site, ledger, traffic } = await underTraffic(scale);
  const losses: { fromMs: number; toMs: number }[] = [];
  let abortedMs = 0;
  try {
    await sleep(seconds * 1_000);
    for (let n = 0; n < kills; n++) {
      await site.fail(OWNERS[n % OWNERS.length] as string, { kind: "abort" });
      abortedMs = Date.now();
      losses.push({ fromMs: abortedMs - LOST_MS, toMs: abortedMs + READ_MS });
      await sleep(CHECKPOINT_INTERVAL_MS / 4);
    }
    await sleep(seconds * 1_000 + CHECKPOINT_INTERVAL_MS);
  } finally {
    await traffic.stop();
    await site.close();
  }
  const starts = OWNERS.reduce((all, owner) => all + site.startsOf(owner), 0);
  const broken = starts === OWNERS.length + kills ? [] : [`owners started ${starts} times`];
  const recoveredSeconds = Math.max(0, ledger.lastInexactMs - abortedMs) / 1_000;
  const also = `${kills} aborts, ${ledger.inexact} not exact`;
  return rowOf({ fault: "objects aborted", ledger, losses, recoveredSeconds, also, broken });
}

/** An owner evicted for want of requests, while others have some: it must know all of its keys. */
export async function evict({ connections, atMostPerSecond = 500 }: Scale): Promise<Row> {
  const site = await Site.open();
  const ledger = new Ledger(LIMIT);
  const idle = OWNERS[0];
  const all = Array.from({ length: EVICTION_KEYS }, (_, key) => key);
  const owners = await site.ownersOf(all);
  const busy = all.filter((key) => owners[key] !== idle);
  const send = async (keys: readonly number[], ms: number) => {
    const pick = () => keys[Math.floor(Math.random() * keys.length)] as number;
    const url = () => site.url;
    const traffic = new Traffic({ ledger, connections, url, pick, perSecond: atMostPerSecond });
    await sleep(ms);
    await traffic.stop();
  };
  try {
    await send(all, 4_000);
    // Its last checkpoint is an event too. A busy machine evicts late.
    for (let n = 1; n <= EVICTIONS_TRIED && site.startsOf(idle) < 2; n++) {
      await send(busy, CHECKPOINT_INTERVAL_MS + EVICTION_MS + n * 2_000);
      await send(all, 2_000);
    }
  } finally {
    await site.close();
  }
  const broken = site.startsOf(idle) === 2 ? [] : ["it was not evicted"];
  return rowOf({ fault: "an object evicted", ledger, broken });
}

async function until<Value>(read: () => Value | undefined, atMostMs = 20_000): Promise<Value> {
  for (const startMs = Date.now(); Date.now() - startMs < atMostMs; await sleep(5)) {
    const value = read();
    if (value !== undefined) return value;
  }
  throw new Error("it did not recover");
}
