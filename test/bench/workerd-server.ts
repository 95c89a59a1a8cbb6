/**
 * A Worker in a workerd of its own, with no proxy in front: on a free port of the loopback
 * interface, its storage in a temporary folder, stopped by its own pid.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { parse as parseToml } from "smol-toml";
import { readUsedBytes } from "./used-bytes.ts";

/** The binary itself, whose pid is the one to read and to stop; the one that wrangler brings. */
const { default: WORKERD } = createRequire(import.meta.url)("workerd") as { default: string };
/** Only one that hangs takes so long, on a machine that starts many. */
const START_MS = 120_000;
const STOP_MS = 5_000;
/** What `/proc` counts in: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface WorkerdServer {
  url: string;
  /** CPU time it has used, seconds; undefined where there is no `/proc`. */
  cpuSeconds(): number | undefined;
  /** Memory that it holds, bytes; undefined where there is no `/proc`. */
  residentBytes(): number | undefined;
  /** What its isolate uses after a collection, buffers included, bytes. Only if it is inspected. */
  usedBytes(): Promise<number>;
  /** Takes all CPU from it until `resume`, so that it does not slow whoever is measured. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
  /** Ends it without a chance to write anything; what it has on disk stays in a given folder. */
  kill(): Promise<void>;
}

export interface WorkerdOptions {
  /** The Worker as one ES module. */
  script: string;
  vars: Record<string, string>;
  /** Binds the exported class `RateLimiter` as `TURNPIKE_OWNERS`. */
  hasObjects: boolean;
  /** Binds the exported class `Membership` as `TURNPIKE_MEMBERSHIP`. */
  hasMembership?: boolean;
  /** Binds the exported class `Events` as `TURNPIKE_EVENTS`. */
  hasEvents?: boolean;
  /** Binds the exported class `Cache` as `TURNPIKE_CACHE`. */
  hasCache?: boolean;
  /** Whether these are bound; if not, the Worker has what it exports. Default true. */
  isBound?: boolean;
  /** Default the deployed Worker's. */
  compatibilityDate?: string;
  /** Where its storage is, and stays; left out: in a folder of its own, removed at the end. */
  folder?: string;
  /** Left out: one that is free. */
  port?: number;
  /** Lets its memory be looked at. */
  isInspected?: boolean;
  /** Called with what the Worker writes to its console. */
  onOutput?: (text: string) => void;
}

/** @throws {Error} with what workerd wrote, if it does not start */
export async function startWorkerd(options: WorkerdOptions): Promise<WorkerdServer> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "turnpike-bench-"));
  writeFileSync(join(folder, "worker.js"), options.script);
  writeFileSync(join(folder, "config.capnp"), capnpConfig(folder, options));
  // On the third stream it tells which port it got.
  const inspector = options.isInspected ? ["--inspector-addr=127.0.0.1:0"] : [];
  const args = ["serve", "--control-fd=3", ...inspector, join(folder, "config.capnp")];
  const child = spawn(WORKERD, args, {
    stdio: ["ignore", options.onOutput ? "pipe" : "ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => options.onOutput?.(String(chunk)));
  }
  const remove = () => {
    if (!options.folder) rmSync(folder, { recursive: true, force: true });
  };
  // Whoever interrupts the benchmark must not be left with a runtime that is paused.
  const abandon = () => {
    child.kill("SIGKILL");
    remove();
  };
  process.on("exit", abandon);
  const stop = async (signal?: NodeJS.Signals) => {
    await end(child, signal);
    process.off("exit", abandon);
    remove();
  };
  try {
    const ports = listeningPorts(child);
    const inspected = options.isInspected ? await ports.inspector : 0;
    return {
      url: `http://127.0.0.1:${await ports.http}/`,
      cpuSeconds: () => readCpuSeconds(child.pid),
      residentBytes: () => readResidentBytes(child.pid),
      usedBytes: () => readUsedBytes(`ws://127.0.0.1:${inspected}/bench`),
      pause: () => void child.kill("SIGSTOP"),
      resume: () => void child.kill("SIGCONT"),
      stop: () => stop(),
      kill: () => stop("SIGKILL"),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function capnpConfig(folder: string, options: WorkerdOptions): string {
  const {
    vars,
    hasObjects,
    hasMembership,
    hasEvents,
    hasCache,
    isBound = true,
    port = 0,
  } = options;
  const { compatibility_date, compatibility_flags } = parseToml(
    readFileSync(join(import.meta.dirname, "../../wrangler.toml"), "utf8"),
  ) as { compatibility_date: string; compatibility_flags: string[] };
  const text = JSON.stringify;
  const bindings = Object.entries(vars).map(
    ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
  );
  if (hasObjects && isBound)
    bindings.push('(name = "TURNPIKE_OWNERS", durableObjectNamespace = "RateLimiter")');
  if (hasMembership && isBound)
    bindings.push('(name = "TURNPIKE_MEMBERSHIP", durableObjectNamespace = "Membership")');
  if (hasEvents && isBound)
    bindings.push('(name = "TURNPIKE_EVENTS", durableObjectNamespace = "Events")');
  if (hasCache && isBound)
    bindings.push('(name = "TURNPIKE_CACHE", durableObjectNamespace = "Cache")');
  const optional = { Membership: hasMembership, Events: hasEvents, Cache: hasCache };
  const classes = Object.entries(optional).flatMap(([name, has]) => (has ? [name] : []));
  const others = classes.map(
    (name) => `, (className = "${name}", uniqueKey = "${name.toLowerCase()}", enableSql = true)`,
  );
  const objects = `
  durableObjectNamespaces = [
    (className = "RateLimiter", uniqueKey = "bench", enableSql = true)${others.join("")}
  ],
  durableObjectStorage = (localDisk = "state"),`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "bench", worker = .bench),
    (name = "state", disk = (path = ${text(folder)}, writable = true)),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "bench")],
);
const bench :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = ${text(options.compatibilityDate ?? compatibility_date)},
  compatibilityFlags = ${text(compatibility_flags)},
  bindings = [${bindings.join(", ")}],${hasObjects ? objects : ""}
);
`;
}

function listeningPorts(child: ChildProcess): Record<"http" | "inspector", Promise<number>> {
  let errors = "";
  let events = "";
  const http = Promise.withResolvers<number>();
  const inspector = Promise.withResolvers<number>();
  const fail = (what: string) => http.reject(new Error(`workerd ${what}:\n${errors}`));
  const timer = setTimeout(() => fail("did not start"), START_MS);
  child.stderr?.on("data", (chunk) => {
    errors += chunk;
  });
  (child.stdio[3] as Readable).on("data", (chunk) => {
    events += chunk;
    for (const [name, port] of [
      ["listen", http],
      ["listen-inspector", inspector],
    ] as const) {
      const number = new RegExp(`"event":"${name}".*?"port":(\\d+)`).exec(events)?.[1];
      if (number) port.resolve(Number(number));
    }
  });
  child.on("error", http.reject);
  child.on("exit", () => fail("ended"));
  return {
    http: http.promise.finally(() => clearTimeout(timer)),
    inspector: inspector.promise,
  };
}

/** See proc_pid_stat(5): fields 14 and 15, counted from behind the name, which may hold spaces. */
function readCpuSeconds(pid: number | undefined): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    // Not every system has it, and the figures without it are still figures.
    return undefined;
  }
}

function readResidentBytes(pid: number | undefined): number | undefined {
  try {
    const [, kilobytes] =
      /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kilobytes) * 1_024;
  } catch {
    return undefined;
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill("SIGCONT");
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(timer);
}
