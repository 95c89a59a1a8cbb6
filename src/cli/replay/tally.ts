/** Counts what a replay decided, for the report. */
import type { Verdict } from "../../limit/decision.ts";
import { formatDuration } from "../../limit/duration.ts";
import type { Policy } from "../../limit/policy.ts";
import type { Clients } from "./clients.ts";
import { Demand } from "./demand.ts";
import { NumberedCounts } from "./numbered-counts.ts";
import { pathOf } from "./record.ts";
import { type Interval, Timeline } from "./timeline.ts";

/** Shares of clients that a limit may touch. */
export const SHARES = [0.001, 0.01, 0.05] as const;
/** Paths whose denials are counted; others count together. */
const MAX_PATHS = 10_000;
const OTHER_PATHS = "(other paths)";
const MAX_LISTED = 10;

export interface PolicyReport {
  name: string;
  limit: number;
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
}

export interface Report {
  requests: number;
  clients: number;
  /** Requests that were refused, by a policy, a list or for their path. */
  denied: number;
  deniedClients: number;
  policies: PolicyReport[];
  /** Policies that a log cannot replay. */
  omitted: { policy: string; why: string }[];
  busiestClients: { client: string; requests: number }[];
  worstClients: { client: string; requests: number; denied: number }[];
  deniedPaths: { path: string; denied: number }[];
  timeline: Interval[];
}

interface PolicyTally {
  policy: Policy;
  requests: number;
  denied: number;
  delayed: number;
  deniedByClient: NumberedCounts;
  demand: Demand;
}

export class Tally {
  requests = 0;
  denied = 0;
  readonly #clients: Clients;
  readonly #byPolicy: Map<Policy, PolicyTally>;
  readonly #requestsByClient = new NumberedCounts();
  readonly #deniedByClient = new NumberedCounts();
  readonly #deniedByPath = new Map<string, number>();
  readonly #timeline = new Timeline();

  constructor(policies: readonly Policy[], clients: Clients) {
    this.#clients = clients;
    this.#byPolicy = new Map(
      policies.map((policy) => [
        policy,
        {
          policy,
          requests: 0,
          denied: 0,
          delayed: 0,
          deniedByClient: new NumberedCounts(),
          demand: new Demand(policy),
        },
      ]),
    );
  }

  seen(client: number, atMs: number): void {
    this.requests++;
    this.#requestsByClient.add(client, 1);
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
    const tally = this.#byPolicy.get(policy) as PolicyTally;
    tally.requests++;
    tally.demand.add(key, client, atMs, isCharged);
    if (verdict.delayMs > 0) tally.delayed++;
    if (verdict.allowed && verdict.reason !== "shadow") return;
    tally.denied++;
    tally.deniedByClient.add(client, 1);
  }

  /** @returns false, as the request does not pass */
  refused(client: number, target: string): false {
    this.denied++;
    this.#deniedByClient.add(client, 1);
    this.#timeline.deny();
    const path = pathOf(target);
    const name =
      this.#deniedByPath.has(path) || this.#deniedByPath.size < MAX_PATHS ? path : OTHER_PATHS;
    this.#deniedByPath.set(name, (this.#deniedByPath.get(name) ?? 0) + 1);
    return false;
  }

  report(): Omit<Report, "omitted"> {
    return {
      requests: this.requests,
      clients: this.#requestsByClient.positive(),
      denied: this.denied,
      deniedClients: this.#deniedByClient.positive(),
      policies: [...this.#byPolicy.values()].map(reportOf),
      busiestClients: this.#requestsByClient
        .largest(MAX_LISTED)
        .map(({ number, count: requests }) => ({ client: this.#clients.nameOf(number), requests })),
      worstClients: this.#deniedByClient.largest(MAX_LISTED).map(({ number, count: denied }) => ({
        client: this.#clients.nameOf(number),
        requests: this.#requestsByClient.of(number),
        denied,
      })),
      deniedPaths: [...this.#deniedByPath]
        .map(([path, denied]) => ({ path, denied }))
        .sort((one, other) => other.denied - one.denied)
        .slice(0, MAX_LISTED),
      timeline: this.#timeline.intervals(),
    };
  }
}

function reportOf({ policy, deniedByClient, demand, ...counts }: PolicyTally): PolicyReport {
  const { name, limit, windowMs, algorithm, shadow } = policy;
  const peaks = demand.peaks().sorted();
  const limits = SHARES.map((share) => [`${share * 100}%`, limitFor(peaks, share)]);
  return {
    name,
    limit,
    window: formatDuration(windowMs),
    algorithm,
    shadow,
    ...counts,
    deniedClients: deniedByClient.positive(),
    limits: Object.fromEntries(limits),
  };
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
