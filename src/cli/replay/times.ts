/** The forms of a time in logs. */

/** `17/May/2015:10:05:03 +0000`, as Apache and nginx write it. */
const COMMON = /^(\d\d)\/(\w{3})\/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)$/;
const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
/**
 * The least number of digits before the point of seconds, milliseconds, microseconds, nanoseconds.
 */
const UNITS: readonly [digits: number, perMs: number][] = [
  [18, 1e6],
  [15, 1e3],
  [12, 1],
  [1, 1e-3],
];

/** The last date that there is: 13 September 275760. */
const MAX_DATE_MS = 8.64e15;

/** Reads the time of the common log format as milliseconds since the epoch. */
export function readCommonTime(text: string): number | undefined {
  const [, day, month = "", year, hours, minutes, seconds, sign, offsetHours, offsetMinutes] =
    COMMON.exec(text) ?? [];
  const at = MONTHS.indexOf(month);
  if (!month || at % 3 !== 0) return undefined;
  const wall = Date.UTC(
    ...([Number(year), at / 3, Number(day), Number(hours), Number(minutes)] as const),
    Number(seconds),
  );
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60_000;
  return dated(sign === "-" ? wall + offset : wall - offset);
}

/** Reads a time from JSON: a number since the epoch in any unit, RFC 3339, or the common form. */
export function readTime(value: unknown): number | undefined {
  const number = typeof value === "string" && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof number === "number") {
    const digits = Math.floor(Math.log10(number)) + 1;
    const [, perMs = 1] = UNITS.find(([least]) => digits >= least) ?? [];
    return number > 0 ? dated(number / perMs) : undefined;
  }
  if (typeof value !== "string") return undefined;
  return value[2] === "/" ? readCommonTime(value) : dated(Date.parse(value));
}

/** Returns a time that has a date, from 1970 on; undefined for another. */
function dated(atMs: number): number | undefined {
  return atMs >= 0 && atMs <= MAX_DATE_MS ? atMs : undefined;
}
