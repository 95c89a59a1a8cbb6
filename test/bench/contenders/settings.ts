/** What a contender's Worker is told by the benchmark, and what it tells back at `/stats`. */
import { env } from "cloudflare:workers";

const { LIMIT, WINDOW_SECONDS, MODE } = env as unknown as Record<string, string>;

/** Requests that a client may make in a window. */
export const limit = Number(LIMIT);
export const windowSeconds = Number(WINDOW_SECONDS);
/** When Turnpike decides. */
export const mode = MODE === "after" ? "after" : "before";

/**
 * What the objects have done. Kept by the module: locally, Worker and objects share one isolate,
 * and it outlives each of them.
 */
export const counts = {
  /** Calls to objects. */
  rpcs: 0,
  /** Checks that those calls carried. */
  checks: 0,
  /** Storage rows that the objects wrote. */
  rows: 0,
};
