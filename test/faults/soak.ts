/** Ten minutes of work: nothing may grow, nothing may get slower, nothing may fail. */
import { setTimeout as sleep } from "node:timers/promises";
import { percentile } from "../bench/statistics.ts";
import { zipf } from "../bench/workloads.ts";
import { Ledger } from "./ledger.ts";
import { type Row, rowOf, type Scale } from "./row.ts";
import { Site } from "./site.ts";
import { Traffic } from "./traffic.ts";

const LOAD = 0.7;
const DISCONNECTS = 0.05;
const CLIENTS = 20_000;
const MAX_GROWTH = 0.05;
/** On a machine that has other work too. */
const MAX_SLOWDOWN = 1.5;
const PARTS = 10;

export async function soak({ deadline, ...scale }: Scale): Promise<Row> {
  const policies = JSON.stringify([{ limit: 10, window: "60s" }]);
  const { soakSeconds, seconds, connections, isTimed, atMostPerSecond } = scale;
  const site = await Site.open({ POLICIES: policies, DEADLINE: deadline }, true);
  // How much each may in each minute is for other tests to say.
  const ledger = new Ledger(Number.POSITIVE_INFINITY);
  const pick = zipf(CLIENTS, 1.1);
  const url = () => site.url;
  const memory: number[] = [];
  const p99Ms: number[] = [];
  let perSecond = 0;
  try {
    const disconnects = DISCONNECTS;
    const whole = { ledger, connections, url, pick, disconnects, atMostPerSecond };
    const full = new Traffic(whole);
    await sleep(seconds * 1_000);
    const before = ledger.requests;
    const startMs = performance.now();
    await sleep(seconds * 1_000);
    perSecond = (LOAD * (ledger.requests - before) * 1_000) / (performance.now() - startMs);
    await full.stop();
    const traffic = new Traffic({ ledger, connections, url, pick, perSecond, disconnects });
    for (let part = 0; part < PARTS; part++) {
      ledger.latenciesMs.length = 0;
      await sleep((soakSeconds * 1_000) / PARTS);
      p99Ms.push(percentile(ledger.latenciesMs, 0.99));
      // What is in use: what the process holds also follows from when it last collected garbage.
      memory.push(await site.server.usedBytes());
    }
    await traffic.stop();
  } finally {
    await site.close();
  }
  const growth = (memory.at(-1) as number) / (memory[1] as number) - 1;
  const slowdown = (p99Ms.at(-1) as number) / (p99Ms[1] as number);
  const broken: string[] = [];
  if (ledger.brokenOff > 0) broken.push(`${ledger.brokenOff} connections broken`);
  if (ledger.inexact > 0) broken.push(`${ledger.inexact} not exact`);
  if (isTimed && growth > MAX_GROWTH) broken.push("memory grows");
  if (isTimed && slowdown > MAX_SLOWDOWN) broken.push("it gets slower");
  const megabytes = [memory[1], memory.at(-1)].map((bytes) => ((bytes as number) / 1e6).toFixed(1));
  const ms = [p99Ms[1], p99Ms.at(-1)].map((each) => (each as number).toFixed(1));
  const also = `${Math.round(perSecond)}/s, ${megabytes.join(" → ")} MB, p99 ${ms.join(" → ")} ms`;
  return rowOf({ fault: `${soakSeconds} s at 70 %, 5 % disconnects`, ledger, also, broken });
}
