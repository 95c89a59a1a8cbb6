/**
 * Counts what the limiter decides, as events: by policy, outcome, reason and source, and by client.
 *
 * Everything is counted in the isolate where it was decided, so denials from its cache and checks by
 * the fallback are too. It reaches the owners of events within about a second. An isolate that does
 * not watch runs no line of this. Only what an owner evicts is counted where the owner is.
 */
import type { Observer, Question, Reply } from "../caller/question.ts";
import { keyOf } from "../events/tuple.ts";
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
/**
 * Checks that an owner answered, by `le`: the least of `LATENCIES_MS` that was enough. Beside them
 * `sum`: how long these took, `ms`. One owner of events has all of a region, as one histogram.
 */
export const LATENCY = "turnpike.latency";

/** Calls to owners, by the owner that they went `to`. */
export const CALLS = "turnpike.calls";
/** Rows that owners evicted before they expired, `by` owner. */
export const EVICTED = "turnpike.evicted";
/** Seconds in which an isolate stood in for owners. */
export const FALLBACK_SECONDS = "turnpike.fallback_seconds";

/** Upper bounds of the histogram, ms; the last bucket has none. */
export const LATENCIES_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000];
const LATENCY_KEYS = [...LATENCIES_MS, "+Inf"].map((bound) => keyOf({ le: String(bound) }));
const LATENCY_SUM_KEY = keyOf({ sum: "ms" });

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
/** The most clients whose keys are remembered, and policies: an API call may name any. */
const MAX_KEYS = 20_000;
/** The key of what has no dimensions. */
const ALL = keyOf({});

/** What a caller and the owners of an isolate tell. */
export interface Watch extends Observer {
  evicted(owner: string, count: number): void;
}

/** The keys under which decisions of one kind count. */
interface Keys {
  kind: Pick<Decision, "reason" | "source"> & { outcome: Outcome };
  decision: string;
  /** By the label of the client. */
  clients: Map<string, string>;
}

/** Makes what counts all that it is told. */
export function watch(
  { label, loggedDenials }: { label: LabelForm; loggedDenials: number },
  count: CountAt,
  hash: (parts: readonly string[]) => KeyHash,
  points?: AnalyticsPoints,
): Watch {
  /** By policy. Made once, because they take longer to make than to count. */
  const keys = new Map<string, Keys[]>();
  let remembered = 0;
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
    count(regionOfOwner(owner) as Region, name, keyOf({ [dimension]: owner }), amount);
  }

  function note({ question, decisions }: Reply, nowMs: number, tookMs: number): void {
    const { region } = question;
    const client = clientOf(question, label);
    for (const decision of decisions) {
      const outcome = outcomeOf(decision);
      if (outcome === "denied") logDenial(question, decision);
      points?.decided(outcome, decision.source);
      const known = keysOf(decision, outcome);
      count(region, DECISIONS, known.decision, 1);
      count(region, CLIENTS, clientKey(known, decision.policy, client), 1, client);
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
    const bucket = LATENCIES_MS.findIndex((bound) => tookMs <= bound);
    // Where no bound was enough, −1 stands for the last bucket.
    count(region, LATENCY, LATENCY_KEYS.at(bucket) as string, 1, ALL);
    if (tookMs > 0) count(region, LATENCY, LATENCY_SUM_KEY, tookMs, ALL);
  }

  function keysOf({ policy, reason, source }: Decision, outcome: Outcome): Keys {
    const ofPolicy = keys.get(policy) ?? [];
    const isSame = ({ kind }: Keys) =>
      kind.outcome === outcome && kind.reason === reason && kind.source === source;
    const known = ofPolicy.find(isSame);
    if (known) return known;
    makeRoom();
    const kind = { outcome, reason, source };
    const made = { kind, decision: keyOf({ policy, ...kind }), clients: new Map() };
    keys.set(policy, [...ofPolicy, made]);
    return made;
  }

  function clientKey({ kind: { outcome }, clients }: Keys, policy: string, client: string): string {
    const known = clients.get(client);
    if (known !== undefined) return known;
    makeRoom();
    const key = keyOf({ client, outcome, policy });
    clients.set(client, key);
    return key;
  }

  function makeRoom(): void {
    if (++remembered <= MAX_KEYS) return;
    keys.clear();
    remembered = 1;
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
