/** What is asked of every contender: who asks, how often each, and how much each may. */

export interface Workload {
  title: string;
  /** Requests a client may make in a window. */
  limit: number;
  windowSeconds: number;
  /** Clients there are. */
  clients: number;
  /** Has every client spent its limit, and been denied once, before anything is measured? */
  primed: boolean;
  /** Which client makes the next request: a number below `clients`. */
  pick: () => number;
}

export type WorkloadName = "a" | "b" | "c" | "d";

const ZIPF_EXPONENT = 1.1;
const MANY = 1_000_000_000;
const DAY_SECONDS = 86_400;
/** So long that no window ends, and forgets, while it is measured. */
const YEAR_SECONDS = 366 * DAY_SECONDS;

/** @param clients how many "100,000 addresses" are; fewer where it has to be quick */
export function workloads(clients: number): Record<WorkloadName, Workload> {
  const evenly = () => Math.floor(Math.random() * clients);
  const count = clients.toLocaleString("en");
  return {
    a: {
      title: `(a) ${count} IPs evenly, all allowed`,
      limit: MANY,
      windowSeconds: DAY_SECONDS,
      clients,
      primed: false,
      pick: evenly,
    },
    b: {
      title: `(b) Zipf ${ZIPF_EXPONENT} over ${count} IPs, 10 a minute`,
      limit: 10,
      windowSeconds: 60,
      clients,
      primed: false,
      pick: zipf(clients, ZIPF_EXPONENT),
    },
    c: {
      title: "(c) one attacker, denied",
      limit: 1,
      windowSeconds: YEAR_SECONDS,
      clients: 1,
      primed: true,
      pick: () => 0,
    },
    d: {
      title: `(d) ${count} attackers, denied`,
      limit: 1,
      windowSeconds: YEAR_SECONDS,
      clients,
      primed: true,
      pick: evenly,
    },
  };
}

/** A client's address, from 10.0.0.0 on. */
export function addressOf(client: number): string {
  return `10.${(client >> 16) & 255}.${(client >> 8) & 255}.${client & 255}`;
}

/** Returns a function that draws numbers below `count`; the nth is as likely as 1 / n^exponent. */
export function zipf(count: number, exponent: number): () => number {
  const upTo = new Float64Array(count);
  let total = 0;
  for (let n = 0; n < count; n++) {
    total += 1 / (n + 1) ** exponent;
    upTo[n] = total;
  }
  return () => {
    const drawn = Math.random() * total;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((upTo[middle] as number) > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
