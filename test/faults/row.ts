/** A line of the table: what was done to a site, and what came of it. */
import type { Ledger } from "./ledger.ts";

export interface Row {
  fault: string;
  requests: number;
  serverErrors: number;
  overAdmitted: number;
  bound: number;
  /** Until answers were exact again, seconds; undefined where they always were. */
  recoveredSeconds: number | undefined;
  /** What else was measured, in words. */
  also: string;
  /** What does not hold of what must. */
  broken: string[];
}

/** How long each fault lasts, and how much of it there is. */
export interface Scale {
  /** Seconds of traffic before, in and after a fault. */
  seconds: number;
  kills: number;
  connections: number;
  /** Distinct keys of a flood. */
  floodKeys: number;
  soakSeconds: number;
  /** Whether figures that depend on the machine's speed must hold too. */
  isTimed: boolean;
  /** How long to wait for an owner, where none fails: a test must not fail on a busy machine. */
  deadline: string;
  /** As in `TrafficOptions`; left out: as many as the site takes, or as the fault says. */
  atMostPerSecond?: number;
}

export const WHOLE: Scale = {
  seconds: 5,
  kills: 20,
  connections: 64,
  floodKeys: 2_000_000,
  soakSeconds: 600,
  isTimed: true,
  deadline: "250ms",
};

export const QUICK: Scale = {
  seconds: 1,
  kills: 2,
  connections: 16,
  floodKeys: 8_000,
  soakSeconds: 4,
  isTimed: false,
  // Below the timeout of the traffic.
  deadline: "8s",
  atMostPerSecond: 100,
};

export interface Outcome {
  fault: string;
  ledger: Ledger;
  /** As in {@link Ledger.excess}. */
  losses?: readonly { fromMs: number; toMs: number }[];
  recoveredSeconds?: number | undefined;
  also?: string;
  broken?: string[];
}

/** Puts a line together, and looks whether what must hold of all faults does. */
export function rowOf({ fault, ledger, losses = [], ...outcome }: Outcome): Row {
  const { overAdmitted, bound, keysAboveBound } = ledger.excess(losses);
  const broken = [...(outcome.broken ?? [])];
  if (ledger.requests === 0) broken.push("nothing was answered");
  if (ledger.serverErrors > 0) broken.push(`${ledger.serverErrors} answers from 500 on`);
  if (keysAboveBound > 0) broken.push(`${keysAboveBound} keys above their bound`);
  return {
    fault,
    requests: ledger.requests,
    serverErrors: ledger.serverErrors,
    overAdmitted,
    bound,
    recoveredSeconds: outcome.recoveredSeconds,
    also: outcome.also ?? "",
    broken,
  };
}
