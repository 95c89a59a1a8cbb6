/**
 * The legacy fields and `Retry-After` of an origin that has limits of its own: each keeps the
 * stricter value, in the origin's form.
 */
import type { Header } from "../answer/cors.ts";
import type { QuotaState } from "../answer/fields.ts";

const LEGACY = "X-RateLimit";
const LEGACY_FAMILIES = [LEGACY, "RateLimit", "X-Rate-Limit"];

/** A number from these on is a time since the epoch, in seconds or in milliseconds. */
const EPOCH_SECONDS = 1_000_000_000;
const EPOCH_MS = 1_000_000_000_000;

/** Returns true if a response has legacy fields, under any of their names. */
export function hasLegacyFields(headers: Headers): boolean {
  return LEGACY_FAMILIES.some((family) => headers.has(`${family}-Remaining`));
}

/**
 * Returns the legacy fields that must change, so that none is looser than `ours`.
 *
 * @param isWritten whether `X-RateLimit-*` are added if they are missing
 * @param nowMs milliseconds since the epoch, since some origins write the reset as a time
 */
export function legacyHeaders(
  headers: Headers,
  ours: QuotaState,
  isWritten: boolean,
  nowMs: number,
): Header[] {
  const changes: Header[] = [];
  for (const family of LEGACY_FAMILIES) {
    const isOwn = isWritten && family === LEGACY;
    if (!isOwn && !headers.has(`${family}-Remaining`)) continue;
    for (const [part, stricter] of [
      ["Limit", (theirs: string) => fewer(theirs, ours.quota)],
      ["Remaining", (theirs: string) => fewer(theirs, ours.remaining)],
      ["Reset", (theirs: string) => later(theirs, ours.seconds, nowMs)],
    ] as const) {
      const theirs = headers.get(`${family}-${part}`);
      if (theirs === null && !isOwn) continue;
      // Our value replaces one that cannot be read, if `X-RateLimit-*` are to be written.
      const value = stricter(theirs ?? "") ?? (isOwn ? stricter("") : theirs);
      if (value !== theirs) changes.push([`${family}-${part}`, value ?? ""]);
    }
  }
  return changes;
}

/** Returns the later `Retry-After`; undefined if the origin's stays, or it has none. */
export function laterRetryAfter(headers: Headers, { seconds }: QuotaState, nowMs: number) {
  const theirs = headers.get("Retry-After");
  const value = theirs === null ? null : later(theirs, seconds, nowMs);
  return value === null || value === undefined || value === theirs ? undefined : value;
}

/** Returns the smaller number; undefined if `theirs` is not a number or a list of them. */
function fewer(theirs: string, ours: number): string | undefined {
  if (!theirs) return String(ours);
  const numbers = theirs.split(",").map((part) => Number(/^\s*(\d+)\s*(?:;.*)?$/.exec(part)?.[1]));
  if (numbers.some(Number.isNaN)) return undefined;
  return ours < Math.min(...numbers) ? String(ours) : theirs;
}

/** Returns the later time, in the form of `theirs`; undefined if that cannot be read. */
function later(theirs: string, seconds: number, nowMs: number): string | undefined {
  if (!theirs) return String(seconds);
  const untilMs = nowMs + seconds * 1_000;
  const number = Number(theirs);
  if (Number.isNaN(number)) {
    const date = Date.parse(theirs);
    if (Number.isNaN(date)) return undefined;
    if (date >= untilMs) return theirs;
    return /^\d{4}-/.test(theirs)
      ? new Date(untilMs).toISOString()
      : new Date(untilMs).toUTCString();
  }
  const unit = number >= EPOCH_MS ? 1 : 1_000;
  const ours = number >= EPOCH_SECONDS ? Math.ceil(untilMs / unit) : seconds;
  return number >= ours ? theirs : String(ours);
}
