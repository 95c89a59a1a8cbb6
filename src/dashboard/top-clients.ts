/**
 * The clients that the live page lists: those with most requests in the last seconds, with most
 * requests, and with most denials.
 */
import type { TopEntry } from "../events/answers.ts";
import { keyOf } from "../events/tuple.ts";

export interface TopClient {
  client: string;
  allowed: number;
  denied: number;
  /** Requests a second, in the last `LATELY_MS`. */
  lately: number;
  policies: string[];
}

/** The most clients of each rank. */
export const MAX_CLIENTS = 10;
/** An attack that is over soon makes room for another. */
export const LATELY_MS = 5_000;

/**
 * Returns the first clients by each rank.
 *
 * @param entries may have one twice
 * @param newest what came in the last `LATELY_MS`
 */
export function topClients(entries: readonly TopEntry[], newest: readonly TopEntry[]): TopClient[] {
  const each = new Map(entries.map((entry) => [keyOf(entry.dimensions), entry]));
  const clients = Map.groupBy(each.values(), clientOf);
  const lately = Map.groupBy(newest, clientOf);
  const all = Array.from(clients, ([client, its]) => {
    const sum = (isDenied: boolean) =>
      unitsOf(its.filter(({ dimensions }) => (dimensions.outcome === "denied") === isDenied));
    const policies = new Set(its.flatMap(({ dimensions }) => dimensions.policy?.split(", ") ?? []));
    return {
      ...{ client, allowed: sum(false), denied: sum(true), policies: [...policies] },
      lately: (unitsOf(lately.get(client) ?? []) * 1_000) / LATELY_MS,
    };
  });
  const firstBy = (weigh: (client: TopClient) => number) =>
    all.toSorted((one, other) => weigh(other) - weigh(one)).slice(0, MAX_CLIENTS);
  return [
    ...new Set([
      ...firstBy(({ lately }) => lately),
      ...firstBy(({ allowed, denied }) => allowed + denied),
      ...firstBy(({ denied }) => denied),
    ]),
  ];
}

function clientOf({ dimensions }: TopEntry): string {
  return dimensions.client ?? "";
}

/** Units that are certain. */
function unitsOf(entries: readonly TopEntry[]): number {
  return entries.reduce((sum, { count, error }) => sum + count - error, 0);
}
