/** Finds the policies that a request meets, by its path and method. */
import type { RequestContext } from "../request-context.ts";
import type { Rule } from "../rule-functions.ts";
import { readingsOf } from "./path.ts";
import { PathPattern } from "./path-pattern.ts";

/** The most keys of a request: each costs a check, and a client can write a path with many. */
const MAX_KEYS = 16;

/** Frameworks read the method from these headers, so a request counts under both methods. */
export const METHOD_OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"];

interface Entry {
  rule: Rule;
  path: PathPattern;
  /** The methods that count; undefined for all. */
  methods: ReadonlySet<string> | undefined;
  except: readonly PathPattern[];
}

export class RuleMatcher {
  readonly rules: readonly Rule[];
  readonly #entries: readonly Entry[];
  readonly #firsts: ReadonlySet<string | undefined>;
  /** Entries by the first segment of a path; those for any first segment under `"*"`. */
  readonly #byFirst = new Map<string, readonly Entry[]>();
  readonly meetsAll: boolean;
  readonly #readsPaths: boolean;
  readonly #readsMethods: boolean;
  readonly #resolvesDots: boolean;

  /** @param resolvesDots as for `readingsOf` */
  constructor(rules: readonly Rule[], resolvesDots = true) {
    this.#resolvesDots = resolvesDots;
    this.#entries = rules.map(entryOf);
    this.#firsts = new Set(this.#entries.map(({ path }) => path.first));
    this.rules = this.#entries.map(({ rule }) => rule);
    this.#readsPaths = this.rules.some(
      ({ policy, pattern }) => policy.path !== "/*" || policy.except.length > 0 || pattern,
    );
    this.#readsMethods = rules.some(({ policy }) => policy.method || policy.except.length > 0);
    this.meetsAll = !this.#readsPaths && !this.#readsMethods;
  }

  /** Returns the rules that a request meets; undefined for a path that is refused. */
  match(c: RequestContext): readonly Rule[] | undefined {
    if (this.meetsAll) return this.rules;
    const readings = this.#readsPaths ? readingsOf(c.req.url, this.#resolvesDots) : [""];
    if (!readings) return undefined;
    const named = this.#readsMethods ? methodsOf(c.req) : [];
    const met: Rule[] = [];
    for (const { rule, path, methods, except } of this.#entriesFor(readings)) {
      if (methods && !named.some((method) => methods.has(method))) continue;
      let fitting = 0;
      for (const reading of readings) if (path.matches(reading)) fitting++;
      if (fitting === 0 || isExcepted(readings, named, except)) continue;
      if (rule.pattern && fitting > MAX_KEYS) return undefined;
      met.push(rule);
    }
    return met;
  }

  #entriesFor([reading = "", another]: readonly string[]): readonly Entry[] {
    if (another !== undefined) return this.#entries;
    const end = reading.indexOf("/", 1);
    const named = end < 0 ? reading.slice(1) : reading.slice(1, end);
    const first = this.#firsts.has(named) ? named : "*";
    const known = this.#byFirst.get(first);
    if (known) return known;
    // Found when first needed: for thousands of policies, all lists at once would take seconds.
    const entries = this.#entries.filter(({ path }) => (path.first ?? first) === first);
    this.#byFirst.set(first, entries);
    return entries;
  }
}

/** Returns the request's own method, and those that headers name. */
export function methodsOf({ method, raw: { headers } }: RequestContext["req"]): string[] {
  const methods = [method.toUpperCase()];
  for (const name of METHOD_OVERRIDES) {
    if (!headers.has(name)) continue;
    for (const part of (headers.get(name) as string).split(",")) {
      methods.push(part.trim().toUpperCase());
    }
  }
  return methods;
}

function entryOf(rule: Rule): Entry {
  const { policy } = rule;
  const path = new PathPattern(policy.path);
  const methods = policy.method && new Set(policy.method);
  // A limit on GET covers HEAD.
  if (methods?.has("GET")) methods.add("HEAD");
  const isPlaced = policy.key.some((part) => part === "path" || part.startsWith("param:"));
  return {
    rule: isPlaced && !rule.key ? { ...rule, pattern: path } : rule,
    path,
    methods,
    except: policy.except.map((pattern) => new PathPattern(pattern)),
  };
}

/** A request is excepted only if every reading of its path is. */
function isExcepted(
  readings: readonly string[],
  methods: readonly string[],
  except: readonly PathPattern[],
): boolean {
  if (except.length === 0) return false;
  // Some frameworks read `/login.css` as `/login` in another format, and handle its form.
  const reads = methods.every((method) => method === "GET" || method === "HEAD");
  return readings.every((reading) =>
    except.some((pattern) => (reads || !pattern.isExtension) && pattern.matches(reading)),
  );
}
