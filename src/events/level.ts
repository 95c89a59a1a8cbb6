/** The levels at which events are kept, and for how long: three, and one that is kept for ever. */
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

export interface Level {
  /** The name that callers use. */
  name: "second" | "minute" | "hour" | "ever";
  /** Length of its bins. */
  ms: number;
  /** How long its bins are kept, at least. */
  keptMs: number;
  /** The most memory that the entries of its open bin take. */
  maxBytes: number;
}

export const SECOND: Level = {
  name: "second",
  ms: SECOND_MS,
  keptMs: 15 * MINUTE_MS,
  maxBytes: 2_000_000,
};
export const MINUTE: Level = {
  name: "minute",
  ms: MINUTE_MS,
  keptMs: 25 * HOUR_MS,
  maxBytes: 4_000_000,
};
export const HOUR: Level = {
  name: "hour",
  ms: HOUR_MS,
  keptMs: 400 * DAY_MS,
  maxBytes: 12_000_000,
};

/** Later than any time. */
const FOREVER_MS = 1e15;

/** One bin since the beginning, for names that begin with `EVER_PREFIX`. */
export const EVER: Level = {
  name: "ever",
  ms: FOREVER_MS,
  keptMs: FOREVER_MS,
  maxBytes: 1_000_000,
};
export const EVER_PREFIX = "turnpike.";
/** Names with this prefix are not kept by the hour: an operator looks at the clients of a day. */
export const DAY_PREFIX = "turnpike-";

/** The levels that a caller may name, from the finest to the coarsest. */
export const LEVELS = [SECOND, MINUTE, HOUR] as const;

/** Returns when the bin begins that a time falls into. */
export function startOf(level: Level, atMs: number): number {
  return Math.floor(atMs / level.ms) * level.ms;
}
