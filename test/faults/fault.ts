/** What can be wrong with an owner, and how it shows in its answers and its storage. */
import type { WireAnswer } from "../../src/protocol/wire-answer.ts";

/** `slow` takes one call at a time, each `ms` long; `full` has storage that fails to write. */
export type FaultKind =
  | "none"
  | "hang"
  | "throw"
  | "late"
  | "garbage"
  | "version"
  | "slow"
  | "full"
  | "abort";

export interface Fault {
  kind: FaultKind;
  /** Part of the calls that it meets, 0 to 1. Default all. */
  share?: number;
  /** How long a late answer waits, or a slow one takes. */
  ms?: number;
}

/** What an owner writes to the console as its object is made, before its name. */
export const STARTED = "owner started:";

/** Storage whose writes can be made to fail, as they do on a full disk. */
export class FaultyStorage {
  isFull = false;

  constructor(storage: DurableObjectStorage) {
    for (const name of ["put", "delete", "deleteAll", "setAlarm", "sync"] as const) {
      const write = storage[name].bind(storage) as (...args: unknown[]) => Promise<unknown>;
      const value = async (...args: unknown[]) => {
        if (this.isFull) throw new Error("SQLITE_FULL: database or disk is full");
        return write(...args);
      };
      Object.defineProperty(storage, name, { value });
    }
  }
}

/** Returns what an owner that is not right answers in place of what is true. */
export function spoil(kind: FaultKind, answer: WireAnswer): unknown {
  const ways = kind === "version" ? OTHER_VERSIONS : NONSENSE;
  const way = ways[Math.floor(Math.random() * ways.length)] as Way;
  return way(answer instanceof Float64Array ? answer : answer.numbers);
}

type Way = (numbers: Float64Array<ArrayBuffer>) => unknown;

const NONSENSE: readonly Way[] = [
  () => undefined,
  () => null,
  () => "ok",
  () => 42,
  () => ({}),
  () => [],
  () => new Float64Array(0),
  () => new ArrayBuffer(8),
  (numbers) => numbers.slice(0, -1),
  (numbers) => Float64Array.of(...numbers, 0),
  (numbers) => Float64Array.of(...numbers, ...numbers),
  (numbers) => numbers.map(() => Number.NaN),
  (numbers) => numbers.map(() => Number.POSITIVE_INFINITY),
  (numbers) => numbers.map(() => -1),
  (numbers) => numbers.map((number, at) => (at % 5 === 3 ? 1e12 : number)),
  (numbers) => numbers.map((number, at) => (at % 5 === 3 ? number + 0.5 : number)),
  (numbers) => ({ numbers, ring: { version: 2, owners: ["elsewhere"], lost: [] } }),
  (numbers) => ({ numbers, ring: { version: Number.NaN, owners: [], lost: [] } }),
  (numbers) => ({ numbers: [...numbers], ring: null }),
];

/** As an older or a newer release might: objects, more numbers a verdict, reasons not known here. */
const OTHER_VERSIONS: readonly Way[] = [
  (numbers) => [{ allowed: true, remaining: numbers[3], resetMs: 1, retryAfterMs: 0 }],
  (numbers) => ({ version: 3, atMs: numbers[0], verdicts: [[{ allowed: true }]] }),
  (numbers) => Float64Array.from([...numbers].flatMap((n, at) => (at % 5 === 1 ? [n, 0] : [n]))),
  (numbers) => numbers.map((number, at) => (at % 5 === 2 ? number + 4 : number)),
  (numbers) => Float64Array.from([...numbers].filter((_, at) => at !== 1)),
  (numbers) => new Float32Array(numbers),
  (numbers) => ({ numbers, ring: { version: 0, owners: ["weur/0"], lost: [] } }),
  () => {
    throw new TypeError('The RPC receiver does not implement the method "check".');
  },
];
