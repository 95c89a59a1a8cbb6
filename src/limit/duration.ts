/**
 * Durations as a person writes them in configuration: a whole number and a unit.
 *
 * One unit each, no sums such as `1h30m`: a window is said in the unit one thinks of it in.
 */
import * as v from "valibot";

const UNIT_MS = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
} as const;

const PATTERN = /^(\d{1,15})(ms|s|m|h|d)$/;

/**
 * Returns the milliseconds in `"250ms"`, `"60s"`, `"15m"`, `"1h"`, `"7d"`; undefined for any other
 * text.
 *
 * @example parseDuration("60s") // 60_000
 */
export function parseDuration(text: string): number | undefined {
  const match = PATTERN.exec(text);
  return match ? Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS] : undefined;
}

/** Writes milliseconds in the largest unit that divides them: `formatDuration(60_000) // "1m"`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  const units = Object.entries(UNIT_MS).reverse();
  const [unit, unitMs] = units.find(([, size]) => ms % size === 0) ?? ["ms", 1];
  return `${ms / unitMs}${unit}`;
}

/** A schema for a duration within bounds, read as milliseconds. */
export function durationSchema(minMs: number, maxMs: number) {
  const example = formatDuration(Math.min(60_000, maxMs));
  const rule = `must be a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)} such as "${example}"`;
  return v.pipe(
    v.string(rule),
    v.check((text) => {
      const ms = parseDuration(text) ?? Number.NaN;
      return ms >= minMs && ms <= maxMs;
    }, rule),
    v.transform((text) => parseDuration(text) as number),
  );
}
