/**
 * Counts what the limiter decides, as events: by policy, outcome, reason and source, and by client.
 *
 * Everything is counted in the isolate where it was decided, so denials from its cache and checks by
 * the fallback are too. It reaches the owners of events within about a second. An isolate that does
 * not watch runs no line of this. Only what an owner evicts is counted where the owner is.
 */
import type { Observer, Question, Reply } from "../caller/question.ts";
import { type Dimensions, keyOf } from "../events/tuple.ts";
import type { Decision } from "../limit/decision.ts";
import { log } from "../log.ts";
import { regionOfOwner } from "../protocol/ring-record.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import { WORKERS } from "../runtime.ts";
import type { AnalyticsPoints, Outcome } from "./analytics.ts";
import { type LabelForm, labelOf } from "./label.ts";

/** Decisions, by `policy`, `outcome`, `reason` and `source`. */
export const DECISIONS = "turnpike.decisions";
/** Decisions, by `client`, `policy` and `outcome`. */
export const CLIENTS = "turnpike-clients";
/** Checks that an owner answered, by `le`: the least of `LATENCIES_MS` that was enough. */
export const LATENCY = "turnpike.latency";
/** How long these took, ms. */
export const LATENCY_SUM = "turnpike.latency_ms";

/** Calls to owners, by the owner that they went `to`. */
export const CALLS = "turnpike.calls";
/** Rows that owners evicted before they expired, `by` owner. */
export const EVICTED = "turnpike.evicted";
/** Seconds in which an isolate stood in for owners. */
export const FALLBACK_SECONDS = "turnpike.fallback_seconds";

/** Upper bounds of the histogram, ms; the last bucket has none. */
export const LATENCIES_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000];
const NO_BOUND = "+Inf";

/** Counts an event at a region's owners. What has one `by` is at one owner. */
export type CountAt = (
  region: Region,
  name: string,
  key: string,
  amount: number,
  by?: string,
) => void;

/** The least time between two lines about denials of a policy. */
const LOG_INTERVAL_MS = 1_000;
/** The most keys that are remembered, and policies: an API call may name any. */
const MAX_KEYS = 10_000;
/** The key of what has no dimensions. */
const ALL = keyOf({});

/** What a caller and the owners of an isolate tell. */
export interface Watch extends Observer {
  evicted(owner: string, count: number): void;
}

/** Makes what counts all that it is told. */
export function watch(
  { label, loggedDenials }: { label: LabelForm; loggedDenials: number },
  count: CountAt,
  hash: (parts: readonly string[]) => KeyHash,
  points?: AnalyticsPoints,
): Watch {
  const keys = new Map<string, string>();
  /** When a denial of each policy was last logged, ms since the epoch. */
  const loggedMs = new Map<string, number>();

  /** The second in which this isolate last stood in for an owner. */
  let fallbackSecond = 0;

  return {
    decided(replies, askedMs) {
      const nowMs = WORKERS.now();
      for (const reply of replies) note(reply, nowMs, nowMs - askedMs);
    },
    called(owner) {
      countOf(owner, CALLS, "to", 1);
      points?.called();
    },
    evicted: (owner, rows) => countOf(owner, EVICTED, "by", rows),
  };

  function countOf(owner: string, name: string, dimension: string, amount: number): void {
    const key = known(`${dimension} ${owner}`, () => ({ [dimension]: owner }));
    count(regionOfOwner(owner) as Region, name, key, amount);
  }

  function note({ question, decisions }: Reply, nowMs: number, tookMs: number): void {
    const { region } = question;
    const client = clientOf(question, label);
    for (const decision of decisions) {
      const outcome = outcomeOf(decision);
      if (outcome === "denied") logDenial(question, decision);
      points?.decided(outcome, decision.source);
      const { policy, reason, source } = decision;
      const how = `${outcome} ${reason} ${source} ${policy}`;
      const whose = `${outcome} ${policy} of ${client}`;
      const decided = known(how, () => ({ outcome, policy, reason, source }));
      count(region, DECISIONS, decided, 1);
      const asked = known(whose, () => ({ client, outcome, policy }));
      count(region, CLIENTS, asked, 1, client);
    }
    const source = decisions[0]?.source;
    if (source === "owner") {
      noteLatency(question, tookMs);
      points?.waited(tookMs);
    }
    if (source === "fallback") noteFallback(region, Math.floor(nowMs / 1_000));
  }

  function noteFallback(region: Region, second: number): void {
    if (second === fallbackSecond) return;
    fallbackSecond = second;
    count(region, FALLBACK_SECONDS, ALL, 1);
  }

  function clientOf({ key }: Question, form: LabelForm): string {
    return form === "hashed" ? hexOf(hash(key)) : labelOf(key, form);
  }

  function logDenial(question: Question, { policy, reason, source }: Decision): void {
    const nowMs = WORKERS.now();
    const isRecent = nowMs - (loggedMs.get(policy) ?? 0) < LOG_INTERVAL_MS;
    if (isRecent || Math.random() >= loggedDenials) return;
    if (loggedMs.size >= MAX_KEYS) loggedMs.clear();
    loggedMs.set(policy, nowMs);
    const client = clientOf(question, label === "full" ? "prefix" : label);
    log("log", "denied", { policy, client, reason, source });
  }

  function noteLatency({ region }: Question, tookMs: number): void {
    const le = LATENCIES_MS.find((bound) => tookMs <= bound)?.toString() ?? NO_BOUND;
    count(
      region,
      LATENCY,
      known(`le ${le}`, () => ({ le })),
      1,
    );
    if (tookMs > 0) count(region, LATENCY_SUM, ALL, tookMs);
  }

  /** Returns the key of a tuple, which most often was made before. */
  function known(id: string, dimensions: () => Dimensions): string {
    const before = keys.get(id);
    if (before !== undefined) return before;
    if (keys.size >= MAX_KEYS) keys.clear();
    const key = keyOf(dimensions());
    keys.set(id, key);
    return key;
  }
}

function hexOf({ hi, lo }: KeyHash): string {
  return hi.toString(16).padStart(8, "0") + lo.toString(16).padStart(8, "0");
}

/** Under `shadow`, a request passes that the policy would have denied. */
function outcomeOf({ allowed, reason }: Decision): Outcome {
  if (reason === "shadow") return "shadow";
  return allowed ? "allowed" : "denied";
}
