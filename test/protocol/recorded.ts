/**
 * What crossed the wire in each version, as the code of its time wrote it. Never edit: a new
 * version gets a new entry.
 */
import type { CounterPolicy } from "../../src/counters/check.ts";
import type { Verdict } from "../../src/limit/decision.ts";
import type { Batch, WireBatch } from "../../src/protocol/wire.ts";
import type { Answer, WireAnswer } from "../../src/protocol/wire-answer.ts";

export const WINDOW: CounterPolicy = {
  name: "ten-a-day",
  algorithm: "fixed-window",
  limit: 10,
  windowMs: 86_400_000,
  capacity: 10,
  cost: 1,
  shadow: false,
  durable: false,
};

export const BUCKET: CounterPolicy = {
  name: "bucket",
  algorithm: "token-bucket",
  limit: 5,
  windowMs: 60_000,
  capacity: 8,
  cost: 2,
  shadow: false,
  durable: true,
  blockFor: { firstMs: 60_000, maxMs: 3_600_000 },
};

const KEY = { hi: 0xdead_beef, lo: 7 };
const OTHER = { hi: 1, lo: 2 };

export const PLAIN: Batch = {
  version: 3,
  checks: [
    { key: KEY, policies: [WINDOW] },
    { key: OTHER, policies: [BUCKET, WINDOW] },
  ],
};

/** The first check tells of what was spent. */
export const SPENT: Batch = {
  version: 0,
  checks: [
    { key: KEY, policies: [WINDOW], spentAtMs: 1_700_000_000_000, resetMs: 5_000 },
    { key: OTHER, policies: [WINDOW] },
  ],
};

/** To `PLAIN`. */
export const DECIDED: Answer = {
  atMs: 1_700_000_000_123,
  epoch: 1_700_000_000_001,
  verdicts: [
    [verdict({ remaining: 9, resetMs: 5_000 })],
    [
      verdict({ reason: "limited", remaining: 1, resetMs: 40_000, retryAfterMs: 20_000 }),
      verdict({ remaining: 9, resetMs: 5_000 }),
    ],
  ],
};

/** To `SPENT`: of a count that may be lost three units were taken, and the other key has moved. */
export const MOVED: Answer = {
  atMs: 1_700_000_000_123,
  epoch: 4,
  verdicts: [[verdict({ resetMs: 5_000, taken: 3 })], undefined],
  inexact: [true],
  ended: [true],
  ring: {
    version: 5,
    owners: ["weur/0", "weur/1"],
    previous: { version: 4, owners: ["weur/0"] },
    lost: [],
  },
};

interface Recorded {
  wireVersion: number;
  plain: WireBatch;
  spent: WireBatch;
  decided: WireAnswer;
  moved: WireAnswer;
}

const { ring } = MOVED;
const RING = ring && { ring };

export const RECORDED: readonly Recorded[] = [
  {
    wireVersion: 1,
    plain: {
      version: 3,
      policies: [WINDOW, BUCKET],
      words: Uint32Array.of(3735928559, 7, 1, 0, 1, 2, 2, 1, 0),
      spent: null,
    },
    spent: {
      version: 0,
      policies: [WINDOW],
      words: Uint32Array.of(3735928559, 7, 1, 0, 1, 2, 1, 0),
      spent: Float64Array.of(1700000000000, 5000, Number.NaN, Number.NaN),
    },
    decided: Float64Array.of(
      ...[1700000000123, 1700000000001],
      ...[0, 9, 5000, 0, 0],
      ...[2, 1, 40000, 20000, 0],
      ...[0, 9, 5000, 0, 0],
    ),
    moved: {
      numbers: Float64Array.of(1700000000123, 4, 24, 0, 5000, 0, 0, -1),
      ...RING,
      taken: [3],
    },
  },
  {
    wireVersion: 2,
    plain: {
      wireVersion: 2,
      version: 3,
      policies: [WINDOW, BUCKET],
      words: Uint32Array.of(3735928559, 7, 1, 0, 1, 2, 2, 1, 0),
      spent: null,
    },
    spent: {
      wireVersion: 2,
      version: 0,
      policies: [WINDOW],
      words: Uint32Array.of(3735928559, 7, 1, 0, 1, 2, 1, 0),
      spent: Float64Array.of(1700000000000, 5000, Number.NaN, Number.NaN),
    },
    decided: Float64Array.of(
      ...[2, 1700000000123, 1700000000001],
      ...[0, 9, 5000, 0, 0],
      ...[2, 1, 40000, 20000, 0],
      ...[0, 9, 5000, 0, 0],
    ),
    moved: {
      numbers: Float64Array.of(2, 1700000000123, 4, 24, 0, 5000, 0, 0, -1),
      ...RING,
      taken: [3],
    },
  },
];

/** Checks that make a hold, settle their caller's own, and settle one that it was told of. */
export const HELD: Batch = {
  version: 3,
  checks: [
    { key: KEY, policies: [WINDOW], reserve: { id: 9_007_199_254_740_991, ttlMs: 60_000 } },
    { key: OTHER, policies: [WINDOW] },
    { key: KEY, policies: [WINDOW], settle: { id: 5, actual: 0, isMade: true } },
    { key: OTHER, policies: [WINDOW], settle: { id: 6, actual: 1_500, isMade: false } },
  ],
};

/** To the last two of them. */
export const SETTLED: Answer = {
  atMs: 1_700_000_000_123,
  epoch: 4,
  verdicts: [[verdict({ remaining: 9, resetMs: 5_000 })], [verdict({ resetMs: 5_000 })]],
  was: ["live", "unknown"],
};

/** The same on the wire since holds cross it, in version 2. An owner before that read no `holds`. */
export const RECORDED_HOLDS: { held: WireBatch; settled: WireAnswer } = {
  held: {
    wireVersion: 2,
    version: 3,
    policies: [WINDOW],
    words: Uint32Array.of(
      ...[3735928559, 7, 1, 0],
      ...[1, 2, 1, 0],
      ...[3735928559, 7, 1, 0],
      ...[1, 2, 1, 0],
    ),
    spent: null,
    holds: Float64Array.of(
      ...[9007199254740991, 60000, 0],
      ...[Number.NaN, 0, 0],
      ...[5, 0, 1],
      ...[6, 1500, 2],
    ),
  },
  settled: {
    numbers: Float64Array.of(2, 1700000000123, 4, 0, 9, 5000, 0, 0, 0, 0, 5000, 0, 0),
    was: ["live", "unknown"],
  },
};

/**
 * What an owner released of one key, under policies of 10 a day that are named `p`, and by an
 * operator's block: the rows of each table, as hexadecimal digits.
 */
export const RELEASED_AT_MS = 1_700_000_000_000;
export const RELEASED = {
  key: KEY,
  /** Three units spent under each. */
  rows: {
    "fixed-window/86400000/p":
      "0000e0ddb7d5eb410000000000001c4000000000000000400000007104bd78420000000000000840",
    "sliding-window/86400000/p":
      "0000e0ddb7d5eb410000000000001c4000000000000008400000c0d656bd784200000000000000000000000000000840",
    "sliding-log/86400000/p":
      "0000e0ddb7d5eb410000000000001c400000000000000840000040bc50bd7842000040bc50bd78420000000000000840",
    "token-bucket/86400000/p":
      "0000e0ddb7d5eb410000000000001c4000000000000000400000a00e17bd78420000000000000000",
    "leaky-bucket/86400000/p":
      "0000e0ddb7d5eb410000000000001c4000000000000000400000a00e17bd78420000000000000000",
    "concurrency/86400000/p":
      "0000e0ddb7d5eb410000000000001c400000000000000840000040bc50bd7842000040bc50bd78420000000000000840",
  },
} as const;
/** The same of another key: a block of a minute, and that its count began anew. */
export const RELEASED_BLOCKED = {
  key: OTHER,
  rows: {
    unsure: "000000000000f03f00000000000000400000000000000040000000cfcb32794200008056febc7842",
    blocked: "000000000000f03f0000000000000040000000000000f03f00002665febc7842",
  },
} as const;

function verdict(fields: Partial<Verdict>): Verdict {
  const { reason = "ok" } = fields;
  const allowed = reason === "ok" || reason === "shadow";
  return { allowed, reason, remaining: 0, resetMs: 0, retryAfterMs: 0, delayMs: 0, ...fields };
}
