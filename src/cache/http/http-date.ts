/**
 * Reads the dates of HTTP (RFC 9110, section 5.6.7): the form in use and the two obsolete ones.
 *
 * `Date.parse` accepts many other texts, and reads some of them wrongly. A cache must take an
 * invalid `Expires` for a time in the past.
 */

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const TIME = "(\\d\\d):(\\d\\d):(\\d\\d)";
/** `Sun, 06 Nov 1994 08:49:37 GMT` */
const IMF_FIXDATE = new RegExp(`^[a-z]{3}, (\\d\\d) ([a-z]{3}) (\\d{4}) ${TIME} gmt$`);
/** `Sunday, 06-Nov-94 08:49:37 GMT` */
const RFC_850 = new RegExp(`^[a-z]{6,9}, (\\d\\d)-([a-z]{3})-(\\d\\d) ${TIME} gmt$`);
/** `Sun Nov  6 08:49:37 1994` */
const ASCTIME = new RegExp(`^[a-z]{3} ([a-z]{3}) ([ \\d]\\d) ${TIME} (\\d{4})$`);

/** If a year of two digits lies further ahead, it is in the previous century. */
const MAX_YEARS_AHEAD = 50;

/**
 * Returns milliseconds since the epoch; undefined for any other text.
 *
 * @param nowMs decides the century of a year with two digits
 */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  const lower = text.trim().toLowerCase();
  const ansi = ASCTIME.exec(lower);
  if (ansi) {
    const [, month, day, hours, minutes, seconds, year] = ansi;
    return time(Number(year), month, day, hours, minutes, seconds);
  }
  const [, day, month, digits, ...clock] = IMF_FIXDATE.exec(lower) ?? RFC_850.exec(lower) ?? [];
  if (digits === undefined) return undefined;
  return time(
    digits.length === 2 ? yearOf(Number(digits), nowMs) : Number(digits),
    month,
    day,
    ...clock,
  );
}

function yearOf(lastDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + lastDigits;
  return year > thisYear + MAX_YEARS_AHEAD ? year - 100 : year;
}

/** Returns undefined if there is no such day or time. */
function time(
  year: number,
  monthName = "",
  ...numbers: (string | undefined)[]
): number | undefined {
  const month = MONTHS.indexOf(monthName);
  const [day = 0, hours = 0, minutes = 0, seconds = 0] = numbers.map(Number);
  if (month < 0 || hours > 23 || minutes > 59 || seconds > 60) return undefined;
  const midnight = new Date(Date.UTC(year, month, day));
  if (midnight.getUTCMonth() !== month || day === 0) return undefined;
  return midnight.getTime() + ((hours * 60 + minutes) * 60 + seconds) * 1_000;
}
