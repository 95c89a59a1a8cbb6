/** How the holds that checks make or settle cross the RPC: three numbers for each check. */
import type { Check } from "../counters/check.ts";

const NUMBERS = 3;
/** What a check does: makes a hold, settles its caller's own hold, or settles one of another. */
const MAKES = 0;
const SETTLES_OWN = 1;
const SETTLES = 2;

/** Writes the id of each hold, its `ttlMs` or `actual`, and what is done; NaN without a hold. */
export function encodeHolds(checks: readonly Check[]): Float64Array<ArrayBuffer> | undefined {
  if (!checks.some(({ reserve, settle }) => reserve ?? settle)) return undefined;
  const numbers = checks.flatMap(({ reserve, settle }) => {
    if (reserve) return [reserve.id, reserve.ttlMs, MAKES];
    if (!settle) return [Number.NaN, 0, 0];
    return [settle.id, settle.actual, settle.isMade ? SETTLES_OWN : SETTLES];
  });
  return Float64Array.from(numbers);
}

/** Reads the hold of a check, by the check's index in its batch, and adds it to the check. */
export function addHold(check: Check, holds: Float64Array, index: number): void {
  const at = index * NUMBERS;
  const [id = Number.NaN, value = 0, kind] = holds.subarray(at, at + NUMBERS);
  if (Number.isNaN(id)) return;
  if (kind === MAKES) check.reserve = { id, ttlMs: value };
  else check.settle = { id, actual: value, isMade: kind === SETTLES_OWN };
}
