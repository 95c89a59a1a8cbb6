/**
 * What the limiter counted of itself, as Prometheus reads it
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * A series belongs to an owner of events, never to an isolate. It only grows: an owner keeps its
 * sum on disk for ever, and is read even after leaving the ring.
 */
import type { Dimensions } from "../events/tuple.ts";
import type { RingStatus } from "../protocol/rpc.ts";
import {
  CALLS,
  DECISIONS,
  DISK,
  EVICTED,
  FALLBACK_SECONDS,
  LATENCIES_MS,
  LATENCY,
  REQUESTS,
} from "./watch.ts";

/** Sums since the beginning, by owner, then by dimensions. */
export type Sums = Map<string, { dimensions: Dimensions; count: number }[]>;

/** The names that are read for the metrics. */
export const READ = [REQUESTS, DECISIONS, LATENCY, CALLS, EVICTED, FALLBACK_SECONDS, DISK];

type Sample = [labels: Dimensions, value: number, suffix?: string];

/** @param sums those of the names in `READ`, in that order */
export function metricsText(sums: readonly Sums[], rings: readonly RingStatus[]): string {
  const [requests, decisions, latency, calls, evicted, fallbackSeconds, disk] = sums;
  const owners = rings.flatMap((ring) => ring.owners);
  return [
    family("turnpike_requests_total", "counter", "Requests that were checked.", each(requests)),
    family("turnpike_decisions_total", "counter", "Decisions of policies.", each(decisions)),
    family(
      "turnpike_check_duration_seconds",
      "histogram",
      "How long checks waited that an owner answered.",
      histogram(latency),
    ),
    family("turnpike_owner_calls_total", "counter", "Calls to owners of counters.", each(calls)),
    family(
      "turnpike_fallback_seconds_total",
      "counter",
      "Seconds in which an isolate stood in for owners, added up over isolates.",
      each(fallbackSeconds),
    ),
    family(
      "turnpike_evicted_keys_total",
      "counter",
      "Rows that full owners evicted before they expired.",
      each(evicted),
    ),
    family(
      "turnpike_disk_writes_total",
      "counter",
      "Checkpoints of owners, and writes that answers await. They have no duration: an object's clock stands still while it computes.",
      ofUnit(disk, "writes"),
    ),
    family(
      "turnpike_disk_rows_total",
      "counter",
      "Rows of storage that owners put or deleted.",
      ofUnit(disk, "rows"),
    ),
    family(
      "turnpike_disk_bytes_total",
      "counter",
      "Bytes of counts that owners put. An owner pauses longer for a checkpoint with more.",
      ofUnit(disk, "bytes"),
    ),
    family(
      "turnpike_ring_version",
      "gauge",
      "Version of a region's ring.",
      rings.map(({ region, version }) => [{ region }, version]),
    ),
    family(
      "turnpike_ring_settling",
      "gauge",
      "Whether a change of the ring is under way.",
      rings.map(({ region, settling }) => [{ region }, Number(settling)]),
    ),
    family(
      "turnpike_owner_keys",
      "gauge",
      "Rows that an owner holds, expired ones included.",
      owners.flatMap(({ name, keys }): Sample[] =>
        keys === null ? [] : [[{ owner: name }, keys]],
      ),
    ),
    family(
      "turnpike_owner_up",
      "gauge",
      "Whether an owner in the ring answers.",
      owners.map(({ name, keys }) => [{ owner: name }, Number(keys !== null)]),
    ),
  ].join("");
}

function each(sums: Sums = new Map()): Sample[] {
  return Array.from(sums, ([owner, counts]) =>
    counts.map(({ dimensions, count }): Sample => [{ owner, ...dimensions }, count]),
  ).flat();
}

/** Returns the samples of one unit. */
function ofUnit(sums: Sums | undefined, wanted: string): Sample[] {
  return each(sums).flatMap(([{ unit, ...labels }, value]): Sample[] =>
    unit === wanted ? [[labels, value]] : [],
  );
}

/** Returns the samples of a histogram. Each bucket includes all smaller ones. */
function histogram(latencies: Sums = new Map()): Sample[] {
  return Array.from(latencies, ([owner, counts]) => {
    const countOf = (name: string, value: string) =>
      counts.find(({ dimensions }) => dimensions[name] === value)?.count ?? 0;
    let below = 0;
    const samples = LATENCIES_MS.map((ms): Sample => {
      below += countOf("le", String(ms));
      return [{ owner, le: String(ms / 1_000) }, below, "_bucket"];
    });
    const all = below + countOf("le", "+Inf");
    return [
      ...samples,
      [{ owner, le: "+Inf" }, all, "_bucket"] as Sample,
      [{ owner }, countOf("sum", "ms") / 1_000, "_sum"] as Sample,
      [{ owner }, all, "_count"] as Sample,
    ];
  }).flat();
}

function family(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value, suffix = ""]) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}${suffix}{${pairs.join(",")}} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
