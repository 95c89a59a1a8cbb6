/** Finds the variable that a name with a typing mistake stands for. */
import { gatewaySchema } from "../../config.ts";
import { limiterSchema } from "../../limiter-config.ts";

const NAMES = Object.keys({ ...gatewaySchema.entries, ...limiterSchema.entries });
/** A longer slip, such as `POLICY`, must leave as many characters alone as there are in this. */
const MIN_ALIKE = 5;
const MAX_UNLIKE = 4;

/** Returns the variable that was meant; undefined if the name is one, or is like none. */
export function meantBy(name: string): string | undefined {
  return NAMES.includes(name) ? undefined : NAMES.find((known) => isNear(folded(name), known));
}

function folded(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}

/** Compares what is between the beginning and the end that two names share. */
function isNear(one: string, other: string): boolean {
  const most = Math.min(one.length, other.length);
  let start = 0;
  while (start < most && one[start] === other[start]) start++;
  let end = 0;
  while (end < most - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  const rest = one.slice(start, one.length - end);
  const otherRest = other.slice(start, other.length - end);
  const isOneSlip = rest.length <= 1 && otherRest.length <= 1;
  const isSwap = rest.length === 2 && otherRest === [...rest].reverse().join("");
  if (isOneSlip || isSwap) return true;
  const areUnlike = rest.length + otherRest.length;
  return rest !== "" && otherRest !== "" && areUnlike <= MAX_UNLIKE && start + end >= MIN_ALIKE;
}
