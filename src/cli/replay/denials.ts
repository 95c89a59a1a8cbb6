/** Counts the requests that were denied, by client and by path. */
import type { Clients } from "./clients.ts";
import { type Column, NumberedRows } from "./numbered-rows.ts";
import { pathOf } from "./record.ts";

/** Paths whose denials are counted; others count together. */
const MAX_PATHS = 10_000;
const OTHER_PATHS = "(other paths)";
export const MAX_LISTED = 10;

export interface DenialsReport {
  denied: number;
  deniedClients: number;
  worstClients: { client: string; requests: number; denied: number }[];
  deniedPaths: { path: string; denied: number }[];
}

export class Denials {
  /** Most clients have none: a place that nothing is written to takes no memory. */
  readonly #byClient = new NumberedRows(1);
  readonly #byPath = new Map<string, number>();
  #denied = 0;

  add(client: number, target: string): void {
    this.#denied++;
    this.#byClient.count(client);
    const path = pathOf(target);
    const name = this.#byPath.has(path) || this.#byPath.size < MAX_PATHS ? path : OTHER_PATHS;
    this.#byPath.set(name, (this.#byPath.get(name) ?? 0) + 1);
  }

  /** @param requests of each client */
  report(clients: Clients, requests: Column): DenialsReport {
    const denied = this.#byClient.column(0);
    return {
      denied: this.#denied,
      deniedClients: denied.positive(),
      worstClients: denied.largest(MAX_LISTED).map(({ number, count }) => ({
        client: clients.nameOf(number),
        requests: requests.of(number),
        denied: count,
      })),
      deniedPaths: [...this.#byPath]
        .map(([path, denied]) => ({ path, denied }))
        .sort((one, other) => other.denied - one.denied)
        .slice(0, MAX_LISTED),
    };
  }
}
