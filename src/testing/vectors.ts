/** The vectors: what each algorithm must answer, step by step, in JSON for any implementation. */
import type { AlgorithmName } from "../limit/algorithms.ts";
import blockFor from "./vectors/block-for.json" with { type: "json" };
import concurrency from "./vectors/concurrency.json" with { type: "json" };
import firstWindow from "./vectors/first-window.json" with { type: "json" };
import fixedWindow from "./vectors/fixed-window.json" with { type: "json" };
import leakyBucket from "./vectors/leaky-bucket.json" with { type: "json" };
import slidingLog from "./vectors/sliding-log.json" with { type: "json" };
import slidingWindow from "./vectors/sliding-window.json" with { type: "json" };
import tokenBucket from "./vectors/token-bucket.json" with { type: "json" };

export type VectorVerb = "check" | "peek" | "refund" | "reset" | "block" | "unblock";

/** A policy's fields, as `rateLimit` has them. */
export interface VectorPolicy {
  limit: number;
  window: string;
  start?: "first";
  burst?: number;
  blockFor?: string | { first: string; max: string };
}

/** What a step does and when, and the expected answer. The cost of a block is its length in ms. */
export type VectorStep = [
  atMs: number,
  verb: VectorVerb,
  cost?: number,
  allowed?: boolean,
  remaining?: number,
  retryAfterMs?: number,
  delayMs?: number,
];

export interface Scenario {
  title: string;
  policy: VectorPolicy;
  steps: VectorStep[];
}

/** The vectors by name of their file. Each algorithm has a file. */
const FILES = {
  "fixed-window": fixedWindow,
  "first-window": firstWindow,
  "sliding-window": slidingWindow,
  "sliding-log": slidingLog,
  "token-bucket": tokenBucket,
  "leaky-bucket": leakyBucket,
  concurrency,
  "block-for": blockFor,
} satisfies Record<AlgorithmName | "first-window" | "block-for", unknown>;

/** Each file: its algorithm and its scenarios, each for a fresh key. */
export const VECTORS = Object.entries(FILES).map(([file, { algorithm, scenarios }]) => ({
  file,
  algorithm,
  scenarios: scenarios as unknown as readonly Scenario[],
}));
