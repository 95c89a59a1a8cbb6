/** A schema for a whole number within bounds. */
import * as v from "valibot";

export function wholeNumber(least: number, most: number) {
  const rule = `must be a whole number from ${least} to ${most}`;
  return v.custom<number>((value) => {
    return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
  }, rule);
}
