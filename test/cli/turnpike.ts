/** Runs the command line as a person does. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROGRAM = new URL("../../src/cli/turnpike.ts", import.meta.url).pathname;

export interface Ended {
  code: number | null;
  out: string;
  error: string;
}

/** @param input what standard input brings */
export function turnpike(
  args: readonly string[],
  input: string | Buffer = "",
  variables: Record<string, string> = {},
): Promise<Ended> {
  const env = { ...process.env, NO_COLOR: "1", ...variables };
  const child = spawn("node", [PROGRAM, ...args], { env });
  const ended: Ended = { code: null, out: "", error: "" };
  child.stdout.on("data", (text) => {
    ended.out += text;
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
