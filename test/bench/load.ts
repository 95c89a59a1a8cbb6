/**
 * Load on one server: autocannon, each request from an address of the workload.
 *
 * Bounded in time whatever the server does. Counts by itself what lies between warm-up and end,
 * since autocannon's own figures begin with the first request.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import autocannon, { type Instance, type Options, type Request, type Result } from "autocannon";
import { percentile } from "./statistics.ts";
import type { WorkerdServer } from "./workerd-server.ts";
import { addressOf, type Workload } from "./workloads.ts";

export interface Load {
  connections: number;
  /** Before anything is measured, seconds. */
  warmUpSeconds: number;
  /** Measured, seconds. */
  seconds: number;
  /** Requests a second over all connections; left out: as many as the server takes. */
  rate?: number;
}

/** What the objects have done, as a contender tells it at `/stats`. */
export interface Counts {
  rpcs: number;
  checks: number;
  rows: number;
}

/** What one server did in one round. */
export interface Sample extends Counts {
  seconds: number;
  requests: number;
  requestsPerSecond: number;
  /** Of the runtime's process; undefined where its CPU time can't be read. */
  requestsPerCpuSecond: number | undefined;
  denied: number;
  /** Of the whole load: failed connections, timeouts, and answers neither 2xx nor 429. */
  errors: number;
  p50Ms: number;
  p99Ms: number;
}

/** What came of a load that ended by itself. */
export interface Answers {
  allowed: number;
  denied: number;
  errors: number;
}

/** Drawn beforehand for each connection, which begins anew when all are sent. */
const DRAWN_REQUESTS = 512;
/** How often autocannon looks whether it is over. */
const SAMPLE_MS = 50;

/** Puts a server under load and measures. */
export async function measure(
  server: WorkerdServer,
  workload: Workload,
  { connections, warmUpSeconds, seconds, rate }: Load,
): Promise<Sample> {
  const { cannon, ended } = shoot({
    url: server.url,
    connections,
    // The timers here end it; this is for the case that they don't.
    duration: warmUpSeconds + seconds + 5,
    ...(rate && { overallRate: rate }),
    setupClient: (client) =>
      client.setRequests(Array.from({ length: DRAWN_REQUESTS }, () => requestOf(workload.pick()))),
  });
  const latenciesMs: number[] = [];
  let denied = 0;
  const record = (_client: unknown, status: number, _bytes: number, ms: number) => {
    latenciesMs.push(ms);
    if (status === 429) denied++;
  };

  await once(cannon, "start");
  await sleep(warmUpSeconds * 1_000);
  const before = await read(server);
  cannon.on("response", record);
  const startMs = performance.now();
  await sleep(seconds * 1_000);
  // Recorded up to there, so that calls and answers are counted over the same time.
  const after = await read(server);
  cannon.off("response", record);
  const measuredSeconds = (performance.now() - startMs) / 1_000;
  cannon.stop();
  const { errors } = await ended;

  const requests = latenciesMs.length;
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds;
  return {
    seconds: measuredSeconds,
    requests,
    requestsPerSecond: requests / measuredSeconds,
    requestsPerCpuSecond: cpuSeconds > 0 ? requests / cpuSeconds : undefined,
    denied,
    errors,
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    rpcs: after.rpcs - before.rpcs,
    checks: after.checks - before.checks,
    rows: after.rows - before.rows,
  };
}

/**
 * Sends one request from each client, in order as far as connections have one.
 *
 * @param atMostSeconds after which it gives up: a slow contender is then measured half primed
 */
export async function askOnceEach(
  server: WorkerdServer,
  { clients }: Workload,
  connections: number,
  atMostSeconds: number,
): Promise<Answers> {
  const used = Math.min(connections, clients);
  let connection = 0;
  const { cannon, ended } = shoot({
    url: server.url,
    connections: used,
    amount: clients,
    setupClient: (client) => {
      const first = connection++;
      const length = Math.ceil((clients - first) / used);
      client.setRequests(Array.from({ length }, (_, at) => requestOf(first + at * used)));
    },
  });
  const timer = setTimeout(() => cannon.stop(), atMostSeconds * 1_000);
  const answers = await ended;
  clearTimeout(timer);
  return answers;
}

/** Starts autocannon; what it ends with are counts of the whole load. */
function shoot(options: Options): { cannon: Instance; ended: Promise<Answers> } {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const cannon = autocannon({ sampleInt: SAMPLE_MS, ...options }, (error, result) =>
    error ? reject(error) : resolve(result),
  );
  const ended = promise.then((result) => {
    const denied = result.statusCodeStats?.["429"]?.count ?? 0;
    const strange = result.non2xx - denied;
    // Timeouts are among the errors.
    const errors = result.errors + result.mismatches + strange;
    return { allowed: result["2xx"], denied, errors };
  });
  return { cannon, ended };
}

function requestOf(client: number): Request {
  return { method: "GET", path: "/", headers: { "CF-Connecting-IP": addressOf(client) } };
}

async function read(server: WorkerdServer): Promise<Counts & { cpuSeconds: number }> {
  const response = await fetch(`${server.url}stats`);
  const counts = (await response.json()) as Counts;
  return { ...counts, cpuSeconds: server.cpuSeconds() ?? Number.NaN };
}
