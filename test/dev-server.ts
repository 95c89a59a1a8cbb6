/**
 * A really running `wrangler dev`, on a free port of the loopback interface, stopped by its own
 * pid.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const WRANGLER = join(import.meta.dirname, "../node_modules/wrangler/bin/wrangler.js");
/** Only one that hangs takes so long, on a machine that starts many. */
const START_MS = 120_000;

export interface DevServer {
  url: string;
  /** Ends it as Ctrl-C does. */
  stop(): Promise<void>;
  /** Ends it and the runtime below it without a chance to write anything. */
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A folder for `--persist-to`, and what removes it. */
export function stateFolder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), "turnpike-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export async function startDev(
  persistTo: string,
  vars: Record<string, string> = {},
  ...more: string[]
): Promise<DevServer> {
  // Busy or not, this machine's owners are waited for.
  const given = Object.entries({ DEADLINE: "10s", ...vars }).flatMap(([name, value]) => [
    "--var",
    `${name}:${value}`,
  ]);
  // One that is killed leaves its temporary files where its state is.
  const tempFolder = join(persistTo, "temp");
  mkdirSync(tempFolder, { recursive: true });
  const env = { ...process.env, CI: "true", TMPDIR: tempFolder };
  const port = more.includes("--port") ? [] : ["--port", "0"];
  const where = ["--ip", "127.0.0.1", ...port, "--inspector-port", "0"];
  const child = spawn(
    process.execPath,
    [WRANGLER, "dev", ...where, "--persist-to", persistTo, ...given, ...more],
    { detached: true, stdio: ["ignore", "pipe", "pipe"], env },
  );
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk;
      const ready = /Ready on (http:\/\/\S+)/.exec(output);
      if (ready?.[1]) resolve(ready[1]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("exit", () => reject(new Error(`wrangler dev ended:\n${output}`)));
    setTimeout(() => reject(new Error(`wrangler dev did not start:\n${output}`)), START_MS).unref();
  }).catch(async (error) => {
    await end(child, "SIGKILL");
    throw error;
  });
  const kill = () => end(child, "SIGKILL");
  return { url, stop: () => end(child, "SIGINT"), kill, [Symbol.asyncDispose]: kill };
}

/** Signals the whole process group, since the runtime is a process of its own. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || !child.pid) return;
  const exited = once(child, "exit");
  process.kill(-child.pid, signal);
  await exited;
}
