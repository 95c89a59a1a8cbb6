/** Counts what a replay decided, for the report. */
import type { Verdict } from "../../limit/decision.ts";
import { formatDuration } from "../../limit/duration.ts";
import type { Policy } from "../../limit/policy.ts";
import type { Clients } from "./clients.ts";
import { DEMAND_NUMBERS, Demand, ROUNDING } from "./demand.ts";
import { Denials, type DenialsReport, MAX_LISTED } from "./denials.ts";
import { NumberedRows } from "./numbered-rows.ts";
import { type Interval, Timeline } from "./timeline.ts";

/** Shares of clients that a limit may touch. */
export const SHARES = [0.001, 0.01, 0.05] as const;

export interface PolicyReport {
  name: string;
  limit: number;
  /** Absent without a burst of its own. */
  burst?: number | undefined;
  window: string;
  algorithm: string;
  /** Denied only in the report, as in production. */
  shadow: boolean;
  /** Requests that the policy counted or denied. */
  requests: number;
  denied: number;
  deniedClients: number;
  /** Requests that a leaky bucket would have held. */
  delayed: number;
  /** The limits that touch 0.1 %, 1 % and 5 % of the policy's clients. */
  limits: Record<string, number>;
  /** The bursts beside these limits, in the same ratio; absent without a burst. */
  bursts?: Record<string, number> | undefined;
}

/** Its denials are those by a policy, by a list and for a path. */
export interface Report extends DenialsReport {
  requests: number;
  clients: number;
  /** What passes, and would be denied if no policy were in shadow. */
  shadow: DenialsReport;
  policies: PolicyReport[];
  /** Policies that a log cannot replay. */
  omitted: { policy: string; why: string }[];
  busiestClients: { client: string; requests: number }[];
  timeline: Interval[];
}

interface PolicyTally {
  policy: Policy;
  requests: number;
  denied: number;
  delayed: number;
  demand: Demand;
  /** Denials of each client. */
  byClient: NumberedRows;
}

/** A client's row has its requests, and behind them what each policy's `Demand` keeps. */
const REQUESTS = 0;
const FIRST_OF_POLICIES = 1;

export class Tally {
  requests = 0;
  readonly #clients: Clients;
  /** By name, as some keys may have the policy with a limit of their own. */
  readonly #byPolicy: Map<string, PolicyTally>;
  readonly #rows: NumberedRows;
  readonly #denials = new Denials();
  readonly #inShadow = new Denials();
  readonly #timeline = new Timeline();

  constructor(policies: readonly Policy[], clients: Clients) {
    this.#clients = clients;
    this.#rows = new NumberedRows(FIRST_OF_POLICIES + policies.length * DEMAND_NUMBERS);
    this.#byPolicy = new Map(
      policies.map((policy, at) => {
        const demand = new Demand(policy, this.#rows, FIRST_OF_POLICIES + at * DEMAND_NUMBERS);
        const byClient = new NumberedRows(1);
        return [policy.name, { policy, requests: 0, denied: 0, delayed: 0, demand, byClient }];
      }),
    );
  }

  seen(client: number, atMs: number): void {
    this.requests++;
    this.#rows.count(client);
    this.#timeline.add(atMs);
  }

  decided(
    client: number,
    atMs: number,
    policy: Policy,
    key: number,
    verdict: Verdict,
    isCharged: boolean,
  ): void {
    const tally = this.#byPolicy.get(policy.name) as PolicyTally;
    tally.requests++;
    // The policy's own limit does not touch a key that has another.
    if (policy === tally.policy) tally.demand.add(key, client, atMs, isCharged);
    if (verdict.delayMs > 0) tally.delayed++;
    if (verdict.allowed && verdict.reason !== "shadow") return;
    tally.denied++;
    tally.byClient.count(client);
  }

  /** @returns false, as the request does not pass */
  refused(client: number, target: string): false {
    this.#denials.add(client, target);
    this.#timeline.count("denied");
    return false;
  }

  /** Notes that the request passes, and only because a policy is in shadow. */
  spared(client: number, target: string): void {
    this.#inShadow.add(client, target);
    this.#timeline.count("shadow");
  }

  report(): Omit<Report, "omitted"> {
    const requests = this.#rows.column(REQUESTS);
    return {
      requests: this.requests,
      clients: requests.positive(),
      ...this.#denials.report(this.#clients, requests),
      shadow: this.#inShadow.report(this.#clients, requests),
      policies: [...this.#byPolicy.values()].map(reportOf),
      busiestClients: requests
        .largest(MAX_LISTED)
        .map(({ number, count }) => ({ client: this.#clients.nameOf(number), requests: count })),
      timeline: this.#timeline.intervals(),
    };
  }
}

function reportOf({ policy, demand, byClient, ...counts }: PolicyTally): PolicyReport {
  const { name, limit, burst, windowMs, algorithm, shadow } = policy;
  const deniedOf = byClient.column(0);
  // The verdicts are certain, and what a client needs is close for some algorithms.
  const peaks = demand
    .peaks()
    .sorted((peak, client) =>
      deniedOf.of(client) > 0 ? Math.max(peak, limit + 1) : Math.min(peak, limit),
    );
  const limits = SHARES.map((share) => [`${share * 100}%`, limitFor(peaks, share)] as const);
  return {
    name,
    limit,
    burst,
    window: formatDuration(windowMs),
    algorithm,
    shadow,
    ...counts,
    deniedClients: deniedOf.positive(),
    limits: Object.fromEntries(limits),
    bursts:
      burst === undefined || limit === 0
        ? undefined
        : Object.fromEntries(limits.map(([share, other]) => [share, burstFor(policy, other)])),
  };
}

/** Returns the burst that is to another limit what the policy's is to its own. */
function burstFor({ limit, burst = 0, capacity }: Policy, other: number): number {
  return Math.max(1, Math.ceil((capacity / limit) * other - ROUNDING) - (capacity - burst));
}

/**
 * Returns the least limit above which at most this share of clients would go.
 *
 * @param peaks what each client needs, ascending
 */
export function limitFor(peaks: Int32Array, share: number): number {
  const touched = Math.floor(peaks.length * share);
  return peaks[peaks.length - 1 - touched] ?? 0;
}
