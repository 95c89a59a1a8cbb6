/** Which responses a policy charges. */
import type { Policy } from "./policy.ts";

/** Least status of a response that failed. */
const FAILURE = 400;

/** Returns true if a response with this status is charged. */
export function isCharged({ charge }: Pick<Policy, "charge">, status: number): boolean {
  if (charge === "always") return true;
  if (typeof charge === "object") return charge.includes(status);
  return charge === (status >= FAILURE ? "failure" : "success");
}
