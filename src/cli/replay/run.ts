/** Runs a log through one list of policies, or through two side by side. */
import { closeSync, openSync, writeSync } from "node:fs";
import type { Configured } from "../policies.ts";
import { named } from "../user-error.ts";
import { Clients } from "./clients.ts";
import type { LogRecord } from "./record.ts";
import { type Lines, type ReadOptions, readRecords } from "./records.ts";
import { isByAddress, Replay } from "./replay.ts";
import type { Report } from "./tally.ts";

/** Characters of decisions that are gathered before they are written. */
const WRITE_CHARS = 64 * 1024;

export interface Result {
  lines: Lines;
  /** One for each list of policies, in order. */
  reports: (Report & { source: string })[];
}

export interface RunOptions extends Omit<ReadOptions, "wantsValues"> {
  /** A file for the decision on each request, a line of JSON each. */
  decisions?: string | undefined;
}

/**
 * @throws {UserError} if a file cannot be read, or has no request
 * @throws {MisuseError} if no policy can be replayed
 */
export async function replay(
  files: readonly string[],
  lists: readonly Configured[],
  { decisions, ...options }: RunOptions,
): Promise<Result> {
  const [{ config }] = lists as [Configured];
  const clients = new Clients(config.ipv6Prefix);
  const replays = lists.map((each) => new Replay(each.policies, each.config, clients));
  const writer = decisions === undefined ? undefined : new Writer(decisions);
  const wantsValues = lists.some(({ policies }) => !policies.every(isByAddress));
  const lines = await readRecords(files, clients, { ...options, wantsValues }, (record) => {
    const allowed = replays.map((each) => each.take(record));
    writer?.write(lineOf(record, clients, allowed));
  });
  writer?.end();
  return {
    lines,
    reports: replays.map((each, at) => ({
      source: (lists[at] as Configured).source,
      ...each.tally.report(),
      omitted: each.omitted,
    })),
  };
}

function lineOf({ atMs, address, ...record }: LogRecord, clients: Clients, allowed: boolean[]) {
  const { method, target } = record;
  const at = new Date(atMs).toISOString();
  const client = clients.nameOf(clients.clientOf(address));
  const passes = allowed.length === 1 ? allowed[0] : allowed;
  return JSON.stringify({ at, client, method, target, allowed: passes });
}

class Writer {
  readonly #what: string;
  readonly #file: number;
  #text = "";

  constructor(file: string) {
    this.#what = `--decisions ${file}`;
    this.#file = named(this.#what, () => openSync(file, "w"));
  }

  write(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length >= WRITE_CHARS) this.#flush();
  }

  end(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    named(this.#what, () => writeSync(this.#file, this.#text));
    this.#text = "";
  }
}
