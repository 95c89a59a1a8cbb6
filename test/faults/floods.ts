/** More than an owner can hold, more clients than there are, more requests than it can take. */
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_EVICTIONS } from "../../src/counters/tables.ts";
import type { RingStatus } from "../../src/protocol/rpc.ts";
import { percentile } from "../bench/statistics.ts";
import { Ledger } from "./ledger.ts";
import { type Row, rowOf, type Scale } from "./row.ts";
import { LIMIT, OWNERS, Site } from "./site.ts";
import { Traffic } from "./traffic.ts";

/** The most checks that one call of the API takes. */
const BATCH = 1_000;
/** Keys that have spent all they may before the flood comes, and must not be forgotten in it. */
const DENIED_KEYS = 1_000;
/** How much memory a flood may take. */
const MAX_GROWTH_BYTES = 100_000_000;
/** Of the last quarter of the flood to the first, on a machine that has other work too. */
const MIN_PACE = 0.7;
/** The least time between two warnings of dropped counters. */
const WARNING_MS = 60_000;
const NETWORK_SIZE = 65_536;
/** How far from even the network's addresses may be spread. */
const MAX_SKEW = 0.1;
const PARENT_LIMIT = 1_000;

interface Decided {
  allowed: boolean;
}

async function ask(site: Site, verb: "check" | "peek", keys: readonly string[]) {
  const checks = keys.map((key) => ({ key, policy: "default" }));
  const { decisions } = await site.call<{ decisions: Decided[] }>("POST", verb, { checks });
  return decisions;
}

async function keysHeld(site: Site): Promise<number[]> {
  const { regions } = await site.call<{ regions: RingStatus[] }>("GET", "ring");
  return regions[0]?.owners.map(({ keys }) => keys ?? Number.NaN) ?? [];
}

/** Ever new keys at one owner, more than it has room for. */
export async function floodKeys({ floodKeys, isTimed }: Scale): Promise<Row> {
  const site = await Site.open({ OWNERS: "1" }, true);
  const ledger = new Ledger(LIMIT);
  const broken: string[] = [];
  const denied = Array.from({ length: DENIED_KEYS }, (_, n) => `denied-${n}`);
  const perSecond: number[] = [];
  let growth = 0;
  let dropped = 0;
  try {
    for (let n = 0; n < LIMIT; n++) await ask(site, "check", denied);
    const startBytes = await site.server.usedBytes();
    for (let from = 0, batchMs = performance.now(); from < floodKeys; from += BATCH) {
      const keys = Array.from({ length: BATCH }, (_, n) => `${from + n}`);
      const decisions = await ask(site, "check", keys);
      ledger.requests += BATCH;
      if (!decisions.every(({ allowed }) => allowed)) broken.push("a new key was denied");
      const nowMs = performance.now();
      perSecond.push((BATCH * 1_000) / (nowMs - batchMs));
      batchMs = nowMs;
    }
    growth = (await site.server.usedBytes()) - startBytes;
    const again = await ask(site, "peek", denied);
    const forgotten = again.filter(({ allowed }) => allowed).length;
    if (forgotten > 0) broken.push(`${forgotten} keys that were denied may pass`);
    const [held = 0] = await keysHeld(site);
    dropped = floodKeys + DENIED_KEYS - held;
    if (dropped > 0) {
      await sleep(WARNING_MS);
      await ask(site, "check", ["one more"]);
      await sleep(5_000);
      const told = droppedBy(site.output);
      // In the pause the owner was evicted itself. Rows that it had evicted may still be on its
      // disk, and the last key evicts some of them again.
      const isTrue = told >= dropped - 2 && told <= dropped + MAX_EVICTIONS;
      if (!isTrue) broken.push(`told of ${told} dropped of ${dropped}`);
    }
  } finally {
    await site.close();
  }
  const quarter = Math.ceil(perSecond.length / 4);
  const pace =
    percentile(perSecond.slice(-quarter), 0.5) / percentile(perSecond.slice(0, quarter), 0.5);
  if (isTimed && pace < MIN_PACE) broken.push(`checks at ${pace.toFixed(2)} of their pace`);
  if (isTimed && growth > MAX_GROWTH_BYTES) broken.push("too much memory");
  const also = `${megabytes(growth)} more, ${dropped.toLocaleString("en")} dropped, pace × ${pace.toFixed(2)}`;
  const fault = `${floodKeys.toLocaleString("en")} keys at one owner`;
  return rowOf({ fault, ledger, also, broken });
}

function droppedBy(output: string): number {
  const told = output.matchAll(/"counters-dropped","dropped":(\d+)/g);
  return [...told].reduce((all, [, count]) => all + Number(count), 0);
}

/** A client with an IPv6 /48, who takes each of its /64s in turn. */
export async function floodNetwork({ floodKeys, connections }: Scale): Promise<Row> {
  const clients = Math.min(NETWORK_SIZE, floodKeys / 4);
  const address = (key: number) => `2001:db8:1:${key.toString(16)}::1`;
  const sendAll = async (site: Site, ledger: Ledger) => {
    let sent = 0;
    const pick = () => sent++ % clients;
    const traffic = new Traffic({ ledger, connections, url: () => site.url, pick, address });
    while (ledger.requests + ledger.brokenOff < clients) await sleep(10);
    await traffic.stop();
  };
  const ledger = new Ledger(LIMIT);
  const held = await withSite({ HASH_SECRET: "secret" }, async (site) => {
    await sendAll(site, ledger);
    return keysHeld(site);
  });
  const even = held.reduce((all, each) => all + each, 0) / OWNERS.length;
  const skew = Math.max(...held.map((each) => Math.abs(each / even - 1)));
  const broken = skew <= MAX_SKEW ? [] : [`spread ${percent(skew)} from even`];

  const parent = { name: "network", key: ["ip/48"], limit: PARENT_LIMIT, window: "366d" };
  const policies = [{ limit: LIMIT, window: "366d" }, parent];
  const together = new Ledger(Number.POSITIVE_INFINITY);
  await withSite({ POLICIES: JSON.stringify(policies) }, (site) => sendAll(site, together));
  if (together.admitted !== PARENT_LIMIT)
    broken.push(`${together.admitted} passed the parent limit`);
  ledger.requests += together.requests;
  ledger.serverErrors += together.serverErrors;
  const also = `${percent(skew)} from even, parent let ${together.admitted} of ${PARENT_LIMIT} pass`;
  const fault = `an IPv6 /48, ${clients.toLocaleString("en")} /64s`;
  return rowOf({ fault, ledger, also, broken });
}

async function withSite<Result>(
  vars: Record<string, string>,
  use: (site: Site) => Promise<Result>,
): Promise<Result> {
  const site = await Site.open(vars);
  try {
    return await use(site);
  } finally {
    await site.close();
  }
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
