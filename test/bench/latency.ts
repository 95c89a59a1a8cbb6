/**
 * Latency at half of what one bare RPC each can take at most: how long a request waits where
 * nothing is short of anything.
 *
 * Not by autocannon, whose rate is a burst at the start of each second. Here requests leave evenly,
 * whether the ones before are answered or not, and count from the moment they were due.
 */
import { Agent, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { BARE_RPC, CONTENDERS, type Contender, TURNPIKE } from "./contenders.ts";
import { type Load, measure } from "./load.ts";
import { start } from "./rounds.ts";
import { median, percentile } from "./statistics.ts";
import type { WorkerdServer } from "./workerd-server.ts";
import { addressOf, type Workload } from "./workloads.ts";

export interface LatencyPlan {
  workload: Workload;
  load: Load;
  rounds: number;
  contenders?: readonly Contender[];
  /** Requests a second. Default half of what one bare RPC each takes at most. */
  perSecond?: number;
  /** Called as each step is done: one for each contender, one for each of its rounds. */
  onStep: (what: string) => void;
}

export interface LatencyRow {
  contender: string;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Its p99 ÷ that of one bare RPC each in the same round. */
  toBareRpc: number;
  errors: number;
}

interface Waits {
  p50Ms: number;
  p99Ms: number;
  errors: number;
}

export const LATENCY_CONTENDERS = CONTENDERS.filter(
  ({ name }) => name === BARE_RPC || name.startsWith(TURNPIKE),
);

export async function latencies(plan: LatencyPlan): Promise<LatencyRow[]> {
  const { workload, load, rounds, onStep, contenders = LATENCY_CONTENDERS, perSecond } = plan;
  const servers = new Map<string, WorkerdServer>();
  const waits = new Map<string, Waits[]>();
  const rates: number[] = perSecond === undefined ? [] : [perSecond];
  try {
    for (const contender of contenders) {
      onStep(`${contender.name} starts`);
      const server = await start(contender, workload);
      server.pause();
      servers.set(contender.name, server);
      waits.set(contender.name, []);
    }
    for (let round = 1; round <= rounds; round++) {
      for (const [name, server] of servers) {
        onStep(`${name}, round ${round}`);
        server.resume();
        if (name === BARE_RPC && perSecond === undefined) {
          rates.push((await measure(server, workload, load)).requestsPerSecond / 2);
        }
        const rate = rates.at(-1) as number;
        await paced(server, workload, rate, load.warmUpSeconds, load.connections);
        const { seconds, connections } = load;
        waits.get(name)?.push(await paced(server, workload, rate, seconds, connections));
        server.pause();
      }
    }
  } finally {
    await Promise.all(Array.from(servers.values(), (server) => server.stop()));
  }
  return Array.from(waits, ([contender, own]) => ({
    contender,
    requestsPerSecond: median(rates),
    p50Ms: median(own.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(own.map(({ p99Ms }) => p99Ms)),
    toBareRpc: median(
      own.map(({ p99Ms }, round) => p99Ms / (waits.get(BARE_RPC)?.[round]?.p99Ms ?? Number.NaN)),
    ),
    errors: own.reduce((all, { errors }) => all + errors, 0),
  }));
}

/** Sends requests evenly for a while, then waits for the last of them. */
async function paced(
  server: WorkerdServer,
  workload: Workload,
  perSecond: number,
  seconds: number,
  connections: number,
): Promise<Waits> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const waits: Promise<number>[] = [];
  const startMs = performance.now();
  while (waits.length < perSecond * seconds) {
    const dueMs = startMs + (waits.length / perSecond) * 1_000;
    if (dueMs > performance.now()) await sleep(1);
    else waits.push(answered(server, workload, agent).then((atMs) => atMs - dueMs));
  }
  const settled = await Promise.allSettled(waits);
  agent.destroy();
  const latenciesMs = settled.flatMap((wait) => (wait.status === "fulfilled" ? wait.value : []));
  return {
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    errors: settled.length - latenciesMs.length,
  };
}

/** @returns when a request was answered, as `performance.now()` tells it */
function answered({ url }: WorkerdServer, workload: Workload, agent: Agent): Promise<number> {
  const headers = { "CF-Connecting-IP": addressOf(workload.pick()) };
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = get(url, { agent, headers, timeout: 10_000 }, (response) => {
    response.resume();
    response.on("end", () => {
      if (response.statusCode === 200) resolve(performance.now());
      else reject(new Error(`answered with ${response.statusCode}`));
    });
    response.on("error", reject);
  });
  request.on("timeout", () => request.destroy(new Error("no answer within 10 s")));
  request.on("error", reject);
  return promise;
}
