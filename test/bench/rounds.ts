/**
 * Rounds: every contender is measured in turn, again and again, so that whatever else the machine
 * does meets all of them alike. Ratios are taken within a round; what is reported are medians.
 */
import { BARE_RPC, bundle, type Contender, FLOOR, TURNPIKE } from "./contenders.ts";
import { askOnceEach, type Load, measure, type Sample } from "./load.ts";
import { median } from "./statistics.ts";
import { startWorkerd, type WorkerdServer } from "./workerd-server.ts";
import type { Workload } from "./workloads.ts";

/** What one contender did under one workload. */
export interface Row {
  contender: string;
  requestsPerSecond: number;
  /** Its requests per second ÷ those of no limiter, of one bare RPC each. */
  toFloor: number;
  toBareRpc: number;
  /** Turnpike's ÷ its own: how often faster Turnpike is. */
  turnpikeToIt: number;
  requestsPerCpuSecond: number | undefined;
  /** NaN where it makes no calls. */
  checksPerRpc: number;
  /** Infinity where it makes no calls; above `checksPerRpc` where denials are remembered. */
  requestsPerRpc: number;
  rowsPerSecond: number;
  /** Part of its requests, 0 to 1. */
  denied: number;
  p50Ms: number;
  p99Ms: number;
  /** Of all rounds; must be 0. */
  errors: number;
}

export interface Plan {
  contenders: readonly Contender[];
  workload: Workload;
  load: Load;
  rounds: number;
  /** The most that priming one contender may take. */
  primingSeconds: number;
  /** Called as each step is done: one for the start of a contender, one for each round of it. */
  onStep: (what: string) => void;
  /** Called once a contender has started. */
  onStart?: (contender: string, server: WorkerdServer) => Promise<void>;
}

/** Starts the contenders, each in a process of its own, and measures them all. */
export async function run(plan: Plan): Promise<Row[]> {
  const servers = new Map<string, WorkerdServer>();
  const samples = new Map<string, Sample[]>();
  const { contenders, workload, load, rounds } = plan;
  try {
    for (const contender of contenders) {
      plan.onStep(`${contender.name} starts`);
      const server = await start(contender, workload);
      servers.set(contender.name, server);
      samples.set(contender.name, []);
      await plan.onStart?.(contender.name, server);
      // First each client spends its limit, then it is denied: what is measured comes after that.
      for (let pass = 0; pass < (workload.primed ? 2 : 0); pass++) {
        await askOnceEach(server, workload, load.connections, plan.primingSeconds);
      }
      server.pause();
    }
    for (let round = 0; round < rounds; round++) {
      // Another one begins each time: what follows a heavy one may suffer from it.
      const order = contenders.map((_, at) => contenders[(at + round) % contenders.length]);
      for (const contender of order as Contender[]) {
        plan.onStep(`${contender.name}, round ${round + 1}`);
        const server = servers.get(contender.name) as WorkerdServer;
        server.resume();
        samples.get(contender.name)?.push(await measure(server, workload, load));
        server.pause();
      }
    }
  } finally {
    await Promise.all(Array.from(servers.values(), (server) => server.stop()));
  }
  return contenders.map(({ name }) => summarize(name, samples));
}

export async function start(contender: Contender, workload: Workload): Promise<WorkerdServer> {
  const { limit, windowSeconds } = workload;
  return startWorkerd({
    script: await bundle(contender),
    hasObjects: contender.hasObjects,
    hasMembership: contender.hasMembership ?? false,
    hasEvents: contender.hasEvents ?? false,
    vars: { ...contender.vars, LIMIT: String(limit), WINDOW_SECONDS: String(windowSeconds) },
  });
}

function summarize(name: string, samples: ReadonlyMap<string, readonly Sample[]>): Row {
  const own = samples.get(name) ?? [];
  const middle = (read: (sample: Sample, round: number) => number) => median(own.map(read));
  const ratioTo = (other: string) =>
    middle(({ requestsPerSecond }, round) => {
      return requestsPerSecond / (samples.get(other)?.[round]?.requestsPerSecond ?? Number.NaN);
    });
  const sum = (read: (sample: Sample) => number) => own.reduce((all, each) => all + read(each), 0);
  const rpcs = sum((sample) => sample.rpcs);
  const requests = sum((sample) => sample.requests);
  const perCpuSecond = middle((sample) => sample.requestsPerCpuSecond ?? Number.NaN);
  return {
    contender: name,
    requestsPerSecond: middle((sample) => sample.requestsPerSecond),
    toFloor: ratioTo(FLOOR),
    toBareRpc: ratioTo(BARE_RPC),
    turnpikeToIt: 1 / ratioTo(TURNPIKE),
    requestsPerCpuSecond: Number.isNaN(perCpuSecond) ? undefined : perCpuSecond,
    checksPerRpc: sum((sample) => sample.checks) / rpcs,
    requestsPerRpc: requests / rpcs,
    rowsPerSecond: sum((sample) => sample.rows) / sum((sample) => sample.seconds),
    denied: sum((sample) => sample.denied) / requests,
    p50Ms: middle((sample) => sample.p50Ms),
    p99Ms: middle((sample) => sample.p99Ms),
    errors: sum((sample) => sample.errors),
  };
}
