/** Runs the command line as a person does. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import { run } from "../../src/cli/program.ts";

export const PROGRAM = new URL("../../src/cli/turnpike.ts", import.meta.url).pathname;

export interface Ended {
  code: number | null;
  out: string;
  error: string;
}

/**
 * @param input what standard input brings
 * @param isEnough whether to press Ctrl-C
 */
export function turnpike(
  args: readonly string[],
  input: string | Buffer = "",
  variables: Record<string, string> = {},
  isEnough: (ended: Ended) => boolean = () => false,
): Promise<Ended> {
  const env = { ...process.env, NO_COLOR: "1", ...variables };
  const child = spawn("node", [PROGRAM, ...args], { env });
  const ended: Ended = { code: null, out: "", error: "" };
  child.stdout.on("data", (text) => {
    ended.out += text;
    if (isEnough(ended)) child.kill("SIGINT");
  });
  child.stderr.on("data", (text) => {
    ended.error += text;
  });
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ ...ended, code }));
  });
}

/** The same in this process, which takes a fraction of the time. One at a time. */
export async function turnpikeHere(...args: string[]): Promise<Ended> {
  const ended: Ended = { code: null, out: "", error: "" };
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    ended.out += text;
    return true;
  });
  const error = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    ended.error += text;
    return true;
  });
  const { exitCode } = process;
  process.exitCode = 0;
  vi.stubEnv("NO_COLOR", "1");
  vi.stubEnv("FORCE_COLOR", undefined);
  try {
    await run(args);
    return { ...ended, code: Number(process.exitCode) };
  } finally {
    process.exitCode = exitCode;
    vi.unstubAllEnvs();
    out.mockRestore();
    error.mockRestore();
  }
}

const folders: string[] = [];

/** Writes a file into a folder of its own and returns its path. */
export function fileWith(name: string, content: string | Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), "turnpike-cli-"));
  folders.push(folder);
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

/** Removes what `fileWith` wrote. */
export function removeFiles(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
}
