/**
 * Durations as a person writes them in configuration: a whole number and a unit.
 *
 * One unit each, no sums such as `1h30m`. A duration in another notation is refused, and the error
 * says how to write it here.
 */
import * as v from "valibot";

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const WEEK_MS = 7 * UNIT_MS.d;

const PATTERN = /^(\d{1,15})(ms|s|m|h|d|w)$/;

/** Units of other notations, by their first letters. A number without a unit is in seconds. */
const OTHER_UNIT_MS: Record<string, number> = {
  ...UNIT_MS,
  "": UNIT_MS.s,
  mil: 1,
  w: WEEK_MS,
  mo: 30 * UNIT_MS.d,
  y: 365 * UNIT_MS.d,
};
const OTHER_PATTERN = /(\d+(?:\.\d+)?)\s*(mil|ms|mo|[smhdwy]|$)[a-z]*[\s,]*/g;

/**
 * Returns the milliseconds in `"250ms"`, `"60s"`, `"15m"`, `"1h"`, `"7d"`, `"1w"`; undefined for
 * any other text.
 *
 * @example parseDuration("60s") // 60_000
 */
export function parseDuration(text: string): number | undefined {
  const [, count, unit = ""] = PATTERN.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * (OTHER_UNIT_MS[unit] as number);
}

/** Writes milliseconds in the largest unit that divides them: `formatDuration(60_000) // "1m"`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  const units = Object.entries(UNIT_MS).reverse();
  const [unit, unitMs] = units.find(([, size]) => ms % size === 0) ?? ["ms", 1];
  return `${ms / unitMs}${unit}`;
}

/** Units as a person says them, the largest first. */
const SAID = Object.entries({ day: UNIT_MS.d, h: UNIT_MS.h, min: UNIT_MS.m, s: UNIT_MS.s });

/** Says a duration to a person, in two units at most, rounded up: `"4 h 29 min"`. */
export function spoken(ms: number): string {
  const leastMs = leastUnitMs(ms);
  let leftMs = Math.ceil(ms / leastMs) * leastMs;
  const words = SAID.flatMap(([unit, unitMs]) => {
    const count = Math.floor(leftMs / unitMs);
    leftMs %= unitMs;
    return count > 0 ? `${count} ${unit}` : [];
  });
  // "366 days"
  return words.join(" ").replace(/^(?!1 )\d+ day/, "$&s") || "0 s";
}

/** Says a duration as it is: in two units, or in one if these would not be exact, such as `"50ms"`. */
export function exactly(ms: number): string {
  return ms % leastUnitMs(ms) === 0 ? spoken(ms) : formatDuration(ms);
}

/** Returns the smaller of the two units. */
function leastUnitMs(ms: number): number {
  const { d, h, m, s } = UNIT_MS;
  return ms >= d ? h : ms >= h ? m : s;
}

/** Says a window behind a limit: `per(60_000) // "per min"`, or `"per 15 min"`. */
export function per(windowMs: number): string {
  return `per ${exactly(windowMs).replace(/^1 (?=\w+$)/, "")}`;
}

/** A schema for a duration within bounds, read as milliseconds. */
export function durationSchema(minMs: number, maxMs: number) {
  const example = formatDuration(Math.min(60_000, maxMs));
  const rule = `must be a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)} such as "${example}"`;
  const isWithin = (ms: number | undefined) => ms !== undefined && ms >= minMs && ms <= maxMs;
  const withHint = ({ input }: { input: unknown }) => {
    const ms = guess(input);
    return ms !== undefined && isWithin(ms) ? `${rule} (write "${formatDuration(ms)}")` : rule;
  };
  return v.pipe(
    v.string(withHint),
    v.check((text) => isWithin(parseDuration(text)), withHint),
    v.transform((text) => parseDuration(text) as number),
  );
}

/** Returns what was probably meant by `1h30m`, `PT1M`, `90 minutes`, `1.5h`, `1mo` or `60`. */
function guess(input: unknown): number | undefined {
  const isNumber = typeof input === "number";
  // From 1,000 on, a number is taken as milliseconds, as other limiters have it; below, as seconds.
  const unit = isNumber && input >= UNIT_MS.s ? "ms" : "";
  const text = isNumber || typeof input === "string" ? input + unit : "";
  // In ISO 8601, an M means months before the T and minutes behind it.
  const [, date, time = ""] = /^P([\dYMWD]*)(?:T([\dHMS.]+))?$/.exec(text) ?? [];
  const spelled = date === undefined ? text : date.replace("M", "mo") + time;
  let ms = 0;
  const rest = spelled
    .toLowerCase()
    .trim()
    .replace(OTHER_PATTERN, (_, count: string, unit: string) => {
      ms += Number(count) * (OTHER_UNIT_MS[unit] as number);
      return "";
    });
  return text && rest === "" && Number.isInteger(ms) ? ms : undefined;
}
