/** The algorithms by name. The header of each file states the algorithm's weakness. */
import type { Algorithm } from "./algorithm.ts";
import { concurrency } from "./concurrency.ts";
import { firstWindow } from "./first-window.ts";
import { fixedWindow } from "./fixed-window.ts";
import { leakyBucket } from "./leaky-bucket.ts";
import { slidingLog } from "./sliding-log.ts";
import { slidingWindow } from "./sliding-window.ts";
import { tokenBucket } from "./token-bucket.ts";

export const ALGORITHMS = {
  "fixed-window": fixedWindow,
  "sliding-window": slidingWindow,
  "sliding-log": slidingLog,
  "token-bucket": tokenBucket,
  "leaky-bucket": leakyBucket,
  concurrency,
} as const satisfies Record<string, Algorithm>;

export type AlgorithmName = keyof typeof ALGORITHMS;

/** When fixed windows begin: aligned to the epoch, or each with a key's first request. */
export const STARTS = ["aligned", "first"] as const;

export type Start = (typeof STARTS)[number];

export function algorithmOf({
  algorithm,
  start,
}: {
  algorithm: AlgorithmName;
  start?: Start | undefined;
}): Algorithm {
  return start === "first" ? firstWindow : ALGORITHMS[algorithm];
}
