/** The few statistics that are reported. */

/** @param part of the numbers that are at or below the result, 0 to 1; NaN if there are none */
export function percentile(numbers: readonly number[], part: number): number {
  const sorted = Float64Array.from(numbers).sort();
  const rank = Math.ceil(part * sorted.length) - 1;
  return sorted[Math.max(0, rank)] ?? Number.NaN;
}

/** Of an even count the lower of the two in the middle, so that it is one that was measured. */
export function median(numbers: readonly number[]): number {
  return percentile(numbers, 0.5);
}
