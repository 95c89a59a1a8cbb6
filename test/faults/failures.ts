/** Owners that fail while they are alive: they hang, throw, answer late, answer nonsense. */
import { setTimeout as sleep } from "node:timers/promises";
import { median } from "../bench/statistics.ts";
import type { Fault } from "./fault.ts";
import { Ledger } from "./ledger.ts";
import { type Row, rowOf, type Scale } from "./row.ts";
import { OWNERS, Site } from "./site.ts";
import { Traffic, underTraffic } from "./traffic.ts";

/** Above the deadline of 250 ms. */
const LATE_MS = 400;
const FROZEN_RATIO = 0.9;
/**
 * For the calls that were under way when the fault ended, and the second a failed owner is skipped.
 */
const RECOVERY_SECONDS = 2.5;

export const FAILURES: Record<string, Fault> = {
  "all owners hang": { kind: "hang" },
  "all owners throw": { kind: "throw" },
  "all owners answer late": { kind: "late", ms: LATE_MS },
  "all owners answer garbage": { kind: "garbage" },
  "all owners answer as another version": { kind: "version" },
  "30 % of calls throw": { kind: "throw", share: 0.3 },
  "30 % of calls hang": { kind: "hang", share: 0.3 },
  "30 % of answers are garbage": { kind: "garbage", share: 0.3 },
};

/** All owners fail for a while, then are well again. */
export async function fail(name: string, scale: Scale): Promise<Row> {
  const { seconds, isTimed } = scale;
  const { site, ledger, traffic } = await underTraffic(scale);
  let healedMs = 0;
  let inexact = 0;
  try {
    await sleep(seconds * 500);
    await site.failAll(FAILURES[name] as Fault);
    await sleep(seconds * 1_000);
    await site.failAll({ kind: "none" });
    healedMs = Date.now();
    inexact = ledger.inexact;
    await sleep(RECOVERY_SECONDS * 1_000 + seconds * 500);
  } finally {
    await traffic.stop();
    await site.close();
  }
  const recoveredSeconds = Math.max(0, ledger.lastInexactMs - healedMs) / 1_000;
  const broken = recoveryOf(ledger, healedMs, isTimed);
  if (inexact === 0) broken.push("the fault was not noticed");
  const also = `${ledger.inexact} not exact`;
  return rowOf({ fault: name, ledger, recoveredSeconds, also, broken });
}

/** One owner of four takes calls and never answers: all the rest must go on as if it did. */
export async function freeze({
  seconds,
  connections,
  isTimed,
  atMostPerSecond,
}: Scale): Promise<Row> {
  // Each allowed, so that every request asks an owner.
  const limit = 1_000_000_000;
  const site = await Site.open({ POLICIES: JSON.stringify([{ limit, window: "1d" }]) });
  const ledger = new Ledger(limit);
  const pick = () => Math.floor(Math.random() * 10_000);
  const ratios: number[] = [];
  let healedMs = 0;
  /** Answers a second over some seconds. */
  const rate = async (): Promise<number> => {
    const before = ledger.requests;
    const startMs = performance.now();
    await sleep(seconds * 1_000);
    return ((ledger.requests - before) * 1_000) / (performance.now() - startMs);
  };
  const traffic = new Traffic({
    ledger,
    connections,
    url: () => site.url,
    pick,
    atMostPerSecond,
  });
  try {
    await sleep(1_000);
    for (let round = 0; round < (isTimed ? 5 : 1); round++) {
      const before = await rate();
      await site.fail(OWNERS[1], { kind: "hang" });
      const frozen = await rate();
      await site.fail(OWNERS[1], { kind: "none" });
      healedMs = Date.now();
      await sleep(RECOVERY_SECONDS * 1_000);
      // What else the machine does may change meanwhile: against both sides of it.
      ratios.push((2 * frozen) / (before + (await rate())));
    }
  } finally {
    await traffic.stop();
    await site.close();
  }
  const ratio = median(ratios);
  const recoveredSeconds = Math.max(0, ledger.lastInexactMs - healedMs) / 1_000;
  const broken = recoveryOf(ledger, healedMs, isTimed);
  if (ledger.inexact === 0) broken.push("the fault was not noticed");
  if (isTimed && ratio < FROZEN_RATIO) broken.push(`${ratio.toFixed(2)} × as fast as before`);
  const also = `${ratio.toFixed(2)} × as fast as before`;
  const fault = "one owner of four frozen";
  // Nobody comes near this limit, and twice of it would say nothing.
  return { ...rowOf({ fault, ledger, recoveredSeconds, also, broken }), bound: 0 };
}

/** @returns what is wrong with how answers became exact again: that, and in time if it is timed */
function recoveryOf(ledger: Ledger, healedMs: number, isTimed: boolean): string[] {
  if (ledger.exactSince(healedMs) === undefined) return ["never exact again"];
  const seconds = (ledger.lastInexactMs - healedMs) / 1_000;
  return isTimed && seconds > RECOVERY_SECONDS ? [`not exact ${seconds} s later`] : [];
}
