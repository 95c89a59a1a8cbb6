/** Finds the policies that we would start with, from what the clients of a log do. */

import { readingsOf } from "../../http/match/path.ts";
import type { Clients } from "../replay/clients.ts";
import { Demand } from "../replay/demand.ts";
import { type LogRecord, pathOf, urlOf } from "../replay/record.ts";
import { limitFor } from "../replay/tally.ts";

const WINDOW_MS = 60_000;
/** A login is guessed slowly, so its window is longer. */
const LOGIN_WINDOW_MS = 600_000;
/** Methods that change something, and cost more. */
const WRITES = ["POST", "PUT", "PATCH", "DELETE"];
/** Extensions of the files that a page brings along. */
const ASSET = /\.(css|js|mjs|map|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|otf|eot)$/;
/** Assets are excepted if they are at least this share of all requests. */
const ASSET_SHARE = 0.2;
/** A reading of a path that a policy can name as it stands; the root's is empty. */
const PLAIN_PATH = /^(?:\/[\w.-]+)*$/;
/** Paths that are looked at by themselves; others are covered by the policy for all. */
const MAX_PATHS = 1_000;
const MAX_OWN = 5;
/** A path gets its own policy if it has at least this share of the requests, and this many. */
const OWN_SHARE = 0.001;
const OWN_REQUESTS = 10;
/** Share of answers 401 and 403 by which a path is a login. */
const LOGIN_SHARE = 0.1;
/** What a limit leaves free above the busiest clients, and the least that it is. */
const HEADROOM = 1.5;
const LEAST_LIMIT = 10;
/** Failures that a person who mistypes a password does not reach. */
const MAX_LOGIN_LIMIT = 20;
const MAX_NAMED = 5;

export interface Suggestion {
  name: string;
  /** Undefined for all paths. */
  path: string | undefined;
  methods: string[] | undefined;
  except: string[];
  limit: number;
  windowMs: number;
  /** Counts only answers of 400 and above. */
  isLogin: boolean;
  requests: number;
  /** What the busiest window of a client holds, in requests. */
  typical: { p50: number; p99: number; p999: number };
  /** Clients above the limit. */
  refused: number;
  neediest: { client: string; peak: number }[];
}

interface Path {
  path: string;
  requests: number;
  failures: number;
  methods: Set<string>;
  /** Its clients, each with a number of its own here: most paths have few of all. */
  clients: Map<number, number>;
  demand: Demand;
  failed: Demand;
}

export class Survey {
  readonly #clients: Clients;
  readonly #all = minutely(WINDOW_MS);
  readonly #pages = minutely(WINDOW_MS);
  /** By a reading of the path, as the Worker finds a policy. */
  readonly #writes = new Map<string, Path>();
  readonly #extensions = new Set<string>();
  #requests = 0;
  #assets = 0;

  constructor(clients: Clients) {
    this.#clients = clients;
  }

  take(record: LogRecord): void {
    const readings = readingsOf(urlOf(record));
    // The Worker refuses such a path, and counts it nowhere.
    if (!readings) return;
    this.#requests++;
    const { address, atMs, method } = record;
    const client = this.#clients.clientOf(address);
    this.#all.add(client, client, atMs);
    const extensions = readings.map((reading) => ASSET.exec(reading)?.[1]);
    const isRead = method === "GET" || method === "HEAD";
    if (isRead && extensions.every((extension) => extension !== undefined)) {
      this.#assets++;
      for (const extension of extensions) this.#extensions.add(extension as string);
      return;
    }
    this.#pages.add(client, client, atMs);
    if (!WRITES.includes(method)) return;
    for (const reading of readings) this.#takeWrite(reading, client, record);
  }

  /** @param reading of the path: a policy for that path counts the request */
  #takeWrite(reading: string, client: number, { atMs, method, target, status }: LogRecord): void {
    const known = this.#writes.get(reading) ?? this.#newPath(reading, pathOf(target));
    if (!known) return;
    known.requests++;
    known.methods.add(method);
    const number = known.clients.get(client) ?? known.clients.size;
    known.clients.set(client, number);
    known.demand.add(number, number, atMs);
    if (status !== 401 && status !== 403) return;
    known.failures++;
    known.failed.add(number, number, atMs);
  }

  /** The policy for all paths first. */
  suggestions(): Suggestion[] {
    const hasAssets = this.#assets >= this.#requests * ASSET_SHARE;
    const site = this.#suggest(hasAssets ? this.#pages : this.#all, undefined, {
      name: "site",
      path: undefined,
      methods: undefined,
      except: hasAssets ? [...this.#extensions].sort().map((extension) => `*.${extension}`) : [],
      windowMs: WINDOW_MS,
      isLogin: false,
      requests: hasAssets ? this.#requests - this.#assets : this.#requests,
    });
    const least = Math.max(OWN_REQUESTS, this.#requests * OWN_SHARE);
    const own = [...this.#writes.values()]
      .filter(({ requests, failures }) => requests >= least || failures >= OWN_REQUESTS)
      .sort((one, other) => other.requests - one.requests)
      .slice(0, MAX_OWN)
      .map((path) => this.#forPath(path));
    return withDistinctNames([site, ...own]);
  }

  #newPath(reading: string, written: string): Path | undefined {
    if (this.#writes.size >= MAX_PATHS || !PLAIN_PATH.test(reading)) return undefined;
    const path = written.toLowerCase() === reading ? written : reading || "/";
    const added = {
      path,
      requests: 0,
      failures: 0,
      methods: new Set<string>(),
      clients: new Map<number, number>(),
      demand: minutely(WINDOW_MS),
      failed: minutely(LOGIN_WINDOW_MS),
    };
    this.#writes.set(reading, added);
    return added;
  }

  #forPath({ path, requests, failures, methods, clients, demand, failed }: Path): Suggestion {
    const isLogin = failures >= Math.max(OWN_REQUESTS, requests * LOGIN_SHARE);
    const clientOf = [...clients.keys()];
    return this.#suggest(isLogin ? failed : demand, clientOf, {
      name: path.replace(/[^\w]+/g, "-").replace(/^-|-$/g, "") || "root",
      path,
      methods: [...methods].sort(),
      except: [],
      windowMs: isLogin ? LOGIN_WINDOW_MS : WINDOW_MS,
      isLogin,
      requests,
    });
  }

  /** @param clientOf the clients by their numbers in `demand`; undefined if they have their own */
  #suggest(
    demand: Demand,
    clientOf: readonly number[] | undefined,
    about: Omit<Suggestion, "limit" | "typical" | "refused" | "neediest">,
  ): Suggestion {
    const needed = demand.peaks();
    const peaks = needed.sorted();
    const typical = {
      p50: limitFor(peaks, 0.5),
      p99: limitFor(peaks, 0.01),
      p999: limitFor(peaks, 0.001),
    };
    const roomy = roundUp(Math.max(LEAST_LIMIT, typical.p99 * HEADROOM));
    // The clients that fail most are those that guess.
    const limit = about.isLogin ? Math.min(roomy, MAX_LOGIN_LIMIT) : roomy;
    return {
      ...about,
      limit,
      typical,
      refused: peaks.filter((peak) => peak > limit).length,
      neediest: needed
        .largest(MAX_NAMED)
        .filter(({ count }) => count > limit)
        .map(({ number, count: peak }) => ({
          client: this.#clients.nameOf(clientOf?.[number] ?? number),
          peak,
        })),
    };
  }
}

function withDistinctNames(suggestions: readonly Suggestion[]): Suggestion[] {
  const names = suggestions.map(({ name }) => name);
  return suggestions.map((each, at) =>
    names.indexOf(each.name) < at ? { ...each, name: `${each.name}-${at}` } : each,
  );
}

function minutely(windowMs: number): Demand {
  return new Demand({ windowMs, cost: 1, algorithm: "fixed-window", limit: 1, capacity: 1 });
}

/** Rounds up to two digits, the second of them 0 or 5: `roundUp(61) // 65`. */
function roundUp(limit: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(limit)) - 1) * 5;
  return Math.ceil(limit / step) * step;
}
