/**
 * Counts what the limiter decides, as events: requests, decisions of policies, and clients.
 *
 * A decision is counted in the isolate that made it, also by its denial cache or its fallback. It
 * reaches the owners of events within about a second. An isolate that does not watch runs no line
 * of this. What an owner evicts or writes is counted where the owner is.
 */
import { isAllowed, type Observer, type Question, type Reply } from "../caller/question.ts";
import { type Dimensions, keyOf } from "../events/tuple.ts";
import type { Decision, Source } from "../limit/decision.ts";
import { log } from "../log.ts";
import { regionOfOwner } from "../protocol/ring-record.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import { WORKERS } from "../runtime.ts";
import type { AnalyticsPoints, Outcome } from "./analytics.ts";
import { type LabelForm, labelOf } from "./label.ts";

/** Requests, by `outcome` and `source`. A request that several policies decide counts once. */
export const REQUESTS = "turnpike.requests";
/** Decisions, by `policy`, `outcome`, `reason` and `source`. */
export const DECISIONS = "turnpike.decisions";
/** Requests, by `client`, `outcome`, and the `policy` or policies that decided so. */
export const CLIENTS = "turnpike-clients";
/**
 * Checks that an owner answered, by `le`: the lowest bound of `LATENCIES_MS` that is not exceeded.
 * `sum` has the milliseconds that these checks took. One owner of events has all checks of a
 * region, so that they are one histogram.
 */
export const LATENCY = "turnpike.latency";

/** Calls to owners, by the owner called (`to`). */
export const CALLS = "turnpike.calls";
/** Rows that owners evicted before they expired, `by` owner. */
export const EVICTED = "turnpike.evicted";
/** What owners write to their disks, `by` owner, by `kind` of writer, and by `unit`. */
export const DISK = "turnpike.disk";
/** Seconds in which an isolate stood in for owners. */
export const FALLBACK_SECONDS = "turnpike.fallback_seconds";

/** Upper bounds of the histogram, ms; the last bucket has none. */
export const LATENCIES_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000];
const LATENCY_KEYS = [...LATENCIES_MS, "+Inf"].map((bound) => keyOf({ le: String(bound) }));
const LATENCY_SUM_KEY = keyOf({ sum: "ms" });

/** Counts an event at a region's owners. Events with the same `by` have the same owner. */
export type CountAt = (
  region: Region,
  name: string,
  key: string,
  amount: number,
  by?: string,
) => void;

/** The least time between two lines about denials of a policy. */
const LOG_INTERVAL_MS = 1_000;
/** The most keys of clients and policies that are remembered: an API call may name any policy. */
const MAX_KEYS = 20_000;
/** The key of what has no dimensions. */
const ALL = keyOf({});

/** Receives what an isolate's caller and owners do. */
export interface Watch extends Observer {
  evicted(owner: string, count: number): void;
  written(owner: string, kind: string, amounts: object): void;
}

/** The key under which decisions of one kind count. */
interface Kind extends Pick<Decision, "reason" | "source"> {
  outcome: Outcome;
  key: string;
}

/** Makes the observer that counts. */
export function watch(
  { label, loggedDenials }: { label: LabelForm; loggedDenials: number },
  count: CountAt,
  hash: (parts: readonly string[]) => KeyHash,
  points?: AnalyticsPoints,
): Watch {
  // Keys are made once, because making one takes longer than counting.
  /** The keys of requests, by outcome, then by source. */
  const requestKeys = byOutcome<string>();
  /** The keys of decisions, by policy. */
  const kinds = new Map<string, Kind[]>();
  /** The keys of clients, by outcome, then by policies, then by client. */
  let clientKeys = byOutcome<Map<string, string>>();
  let remembered = 0;
  /** When a denial of each policy was last logged, ms since the epoch. */
  const loggedMs = new Map<string, number>();

  /** The second in which this isolate last stood in for an owner. */
  let fallbackSecond = 0;

  return {
    decided(replies, tookMs) {
      const nowMs = WORKERS.now();
      for (const reply of replies) note(reply, nowMs, tookMs);
    },
    requested: noteRequest,
    called(owner) {
      countOf(owner, CALLS, { to: owner }, 1);
      points?.called();
    },
    evicted: (owner, rows) => countOf(owner, EVICTED, { by: owner }, rows),
    written(owner, kind, amounts) {
      for (const [unit, amount] of Object.entries(amounts)) {
        if (amount > 0) countOf(owner, DISK, { by: owner, kind, unit }, amount);
      }
    },
  };

  function countOf(owner: string, name: string, dimensions: Dimensions, amount: number): void {
    count(regionOfOwner(owner) as Region, name, keyOf(dimensions), amount, owner);
  }

  function noteRequest(replies: readonly Reply[]): void {
    const [first] = replies;
    if (!first || isPassedGuard(first)) return;
    const all = replies.length > 1 ? replies.flatMap((reply) => reply.decisions) : first.decisions;
    const outcome = strictest(all);
    const isDeciding = (decision: Decision) => outcomeOf(decision) === outcome;
    const isGuess = all.some(({ source }) => source === "fallback");
    const source = isGuess ? "fallback" : (all.find(isDeciding)?.source ?? "owner");
    count(first.question.region, REQUESTS, requestKey(outcome, source), 1);
  }

  function note(reply: Reply, nowMs: number, tookMs: number): void {
    if (isPassedGuard(reply)) return;
    const { question, decisions } = reply;
    const { region } = question;
    for (const decision of decisions) {
      const outcome = outcomeOf(decision);
      if (outcome === "denied") logDenial(question, decision);
      points?.decided(outcome, decision.source);
      count(region, DECISIONS, decisionKey(decision, outcome), 1);
    }
    const client = clientOf(question, label);
    if (decisions.length > 0) count(region, CLIENTS, clientKey(decisions, client), 1, client);
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
    const bucket = LATENCIES_MS.findIndex((bound) => tookMs <= bound);
    // If all bounds are exceeded, the index is −1: the last bucket.
    count(region, LATENCY, LATENCY_KEYS.at(bucket) as string, 1, ALL);
    if (tookMs > 0) count(region, LATENCY, LATENCY_SUM_KEY, tookMs, ALL);
  }

  function requestKey(outcome: Outcome, source: Source): string {
    const keys = requestKeys[outcome];
    const key = keys.get(source) ?? keyOf({ outcome, source });
    keys.set(source, key);
    return key;
  }

  function decisionKey({ policy, reason, source }: Decision, outcome: Outcome): string {
    const ofPolicy = kinds.get(policy) ?? [];
    const known = ofPolicy.find((kind) => {
      return kind.outcome === outcome && kind.reason === reason && kind.source === source;
    });
    if (known) return known.key;
    makeRoom();
    const key = keyOf({ policy, outcome, reason, source });
    kinds.set(policy, [...ofPolicy, { outcome, reason, source, key }]);
    return key;
  }

  function clientKey(decisions: readonly Decision[], client: string): string {
    const outcome = strictest(decisions);
    const policy = policiesOf(decisions, outcome);
    const clients = clientKeys[outcome].get(policy) ?? new Map<string, string>();
    const known = clients.get(client);
    if (known !== undefined) return known;
    makeRoom();
    const key = keyOf({ client, outcome, policy });
    clientKeys[outcome].set(policy, clients.set(client, key));
    return key;
  }

  function makeRoom(): void {
    if (++remembered <= MAX_KEYS) return;
    kinds.clear();
    clientKeys = byOutcome();
    remembered = 1;
  }
}

function byOutcome<Value>(): Record<Outcome, Map<string, Value>> {
  return { allowed: new Map(), denied: new Map(), shadow: new Map() };
}

/** Returns the names of the policies that decided so. */
function policiesOf(decisions: readonly Decision[], outcome: Outcome): string {
  const [only, ...others] = decisions;
  if (only && others.length === 0) return only.policy;
  const deciding = decisions.filter((decision) => outcomeOf(decision) === outcome);
  return deciding.map(({ policy }) => policy).join(", ");
}

function isPassedGuard(reply: Reply): boolean {
  return reply.question.isGuard === true && isAllowed(reply);
}

function hexOf({ hi, lo }: KeyHash): string {
  return hi.toString(16).padStart(8, "0") + lo.toString(16).padStart(8, "0");
}

/** Returns the outcome of several decisions on one request. */
function strictest(decisions: readonly Decision[]): Outcome {
  let strict: Outcome = "allowed";
  for (const decision of decisions) {
    const outcome = outcomeOf(decision);
    if (outcome === "denied") return outcome;
    if (outcome === "shadow") strict = outcome;
  }
  return strict;
}

/** Returns a decision's outcome: `shadow` if the policy would have denied, but the check passed. */
function outcomeOf({ allowed, reason }: Decision): Outcome {
  if (reason === "shadow") return "shadow";
  return allowed ? "allowed" : "denied";
}
