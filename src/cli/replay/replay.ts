/**
 * Decides the requests of a log as the Worker would have: the same reading of paths and addresses,
 * the same counters, and the log's own time as their clock.
 */
import type { CounterPolicy } from "../../counters/check.ts";
import { Counters } from "../../counters/counters.ts";
import { stateNumbersOf, tableName } from "../../counters/table-name.ts";
import { RuleMatcher } from "../../http/match/rule-matcher.ts";
import type { RequestContext } from "../../http/request-context.ts";
import type { Rule } from "../../http/rule-functions.ts";
import { keysOf } from "../../http/rules.ts";
import { isListed, readAddress } from "../../limit/address-list.ts";
import { isCharged } from "../../limit/charge.ts";
import type { Verdict } from "../../limit/decision.ts";
import { MisuseError } from "../../limit/misuse.ts";
import type { Policy } from "../../limit/policy.ts";
import { policyFor } from "../../limit/policy-overrides.ts";
import type { LimiterConfig } from "../../limiter-config.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import type { Clients } from "./clients.ts";
import { keyOfNumber, newNumberedTable } from "./numbered-table.ts";
import { type LogRecord, urlOf } from "./record.ts";
import { Tally } from "./tally.ts";

/** The values of a key that a log can have. */
const LOGGED_PARTS =
  /^(?:ip|ip\/\d+|host|path|param:.*|method|country|asn|query:.*|header:(?:user-agent|referer))$/i;
/** Matched targets that are remembered. */
const MAX_REMEMBERED = 10_000;

/** One key, and the policies that count under it. */
interface Asked {
  key: KeyHash;
  /** The key's number. */
  number: number;
  policies: readonly Policy[];
}

/** The rules that a request meets. */
interface Met {
  rules: readonly Rule[];
  /** Their policies, if all of them count by address alone. */
  byAddress: readonly Policy[] | undefined;
}

/** A request as `http` reads it. */
class LoggedRequest implements RequestContext {
  readonly req;

  constructor(record: LogRecord) {
    const { country, asn, userAgent, referer } = record.values;
    const headers = () => {
      const all = new Headers();
      if (userAgent !== undefined) all.set("User-Agent", userAgent);
      if (referer !== undefined) all.set("Referer", referer);
      return all;
    };
    this.req = {
      method: record.method,
      url: urlOf(record),
      raw: {
        cf: { country, asn },
        get headers() {
          return headers();
        },
      },
    };
  }
}

/** What could not be replayed, and why. */
export interface Omitted {
  policy: string;
  why: string;
}

export class Replay {
  readonly tally: Tally;
  readonly omitted: Omitted[] = [];
  readonly #counters = new Counters({ maxBytes: Number.POSITIVE_INFINITY });
  readonly #config: LimiterConfig;
  readonly #clients: Clients;
  readonly #matcher: RuleMatcher;
  readonly #hasLists: boolean;
  readonly #chargesAll: boolean;
  /** Of every request; undefined if that depends on its method or its path. */
  readonly #always: Met | undefined;
  /** By method and target; undefined for a path that is refused. */
  readonly #met = new Map<string, Met | undefined>();

  constructor(policies: readonly Policy[], config: LimiterConfig, clients: Clients) {
    this.#config = config;
    this.#clients = clients;
    const replayed = policies.filter((policy) => {
      const why = whyOmitted(policy);
      if (why) this.omitted.push({ policy: policy.name, why });
      return !why;
    });
    if (replayed.length === 0) {
      throw new MisuseError("policies", "must have one that a log can replay", this.omitted);
    }
    this.#matcher = new RuleMatcher(replayed.map((policy) => ({ policy })));
    this.#always = this.#matcher.meetsAll ? metOf(this.#matcher.rules) : undefined;
    this.#hasLists =
      config.allow.length + config.deny.length > 0 ||
      replayed.some(({ allow, deny }) => allow.length + deny.length > 0);
    this.tally = new Tally(replayed, clients);
    this.#chargesAll = replayed.every(({ charge }) => charge === "always");
    for (const policy of replayed) {
      const name = tableName(policy);
      this.#counters.tables.addTable(name, newNumberedTable(stateNumbersOf(name)));
    }
  }

  /** @returns whether the request passes */
  take(record: LogRecord): boolean {
    const { tally } = this;
    const { atMs, target } = record;
    const client = this.#clients.clientOf(record.address);
    tally.seen(client, atMs);
    let met = this.#metBy(record);
    if (!met) return tally.refused(client, target);
    if (this.#hasLists) {
      const counting = this.#withoutListed(record, met.rules);
      if (typeof counting === "boolean") return counting || tally.refused(client, target);
      if (counting !== met.rules) met = metOf(counting);
    }
    if (met.rules.length === 0) return true;
    const asked = this.#askedFor(record, client, met);
    const verdicts = this.#decide(asked, atMs);
    let isAllowed = true;
    let isSpared = false;
    for (let at = 0; at < asked.length; at++) {
      const { number, policies } = asked[at] as Asked;
      for (let each = 0; each < policies.length; each++) {
        const verdict = (verdicts[at] as Verdict[])[each] as Verdict;
        const policy = policies[each] as Policy;
        tally.decided(client, atMs, policy, number, verdict, isCharged(policy, record.status));
        isAllowed &&= verdict.allowed;
        isSpared ||= verdict.reason === "shadow";
      }
    }
    if (!isAllowed) return tally.refused(client, target);
    if (isSpared) tally.spared(client, target);
    if (!this.#chargesAll) this.#giveUncharged(asked, verdicts, record);
    return true;
  }

  #metBy(record: LogRecord): Met | undefined {
    if (this.#always) return this.#always;
    const name = `${record.method} ${record.target}`;
    if (this.#met.has(name)) return this.#met.get(name);
    if (this.#met.size >= MAX_REMEMBERED) this.#met.clear();
    const rules = this.#matcher.match(new LoggedRequest(record));
    const met = rules && metOf(rules);
    this.#met.set(name, met);
    return met;
  }

  /** Returns the rules that count the request; or whether lists alone let it pass. */
  #withoutListed(
    { address: logged }: LogRecord,
    rules: readonly Rule[],
  ): readonly Rule[] | boolean {
    const address = readAddress(this.#clients.textOf(logged));
    if (isListed(address, this.#config.allow)) return true;
    if (isListed(address, this.#config.deny)) return false;
    const counting = rules.filter(({ policy }) => !isListed(address, policy.allow));
    if (counting.some(({ policy }) => !policy.shadow && isListed(address, policy.deny))) {
      return false;
    }
    return counting.length === rules.length ? rules : counting;
  }

  #askedFor(record: LogRecord, client: number, { rules, byAddress }: Met): readonly Asked[] {
    if (byAddress) return [{ key: keyOfNumber(client), number: client, policies: byAddress }];
    const c = new LoggedRequest(record);
    const name = this.#clients.textOf(record.address);
    // A log may have host names in place of addresses.
    const address = readAddress(name) ?? name;
    const asked: { number: number; key: KeyHash; policies: Policy[] }[] = [];
    for (const rule of rules) {
      for (const parts of keysOf(c, rule, address, this.#config)) {
        const policy = policyFor(rule.policy, parts);
        const number = isByAddress(rule.policy) ? client : this.#clients.ofKey(parts);
        const known = asked.find((each) => each.number === number);
        if (!known) asked.push({ number, key: keyOfNumber(number), policies: [policy] });
        else if (!known.policies.includes(policy)) known.policies.push(policy);
      }
    }
    return asked;
  }

  /** All keys or none, as the Worker decides. */
  #decide(asked: readonly Asked[], nowMs: number): Verdict[][] {
    if (asked.length === 1) return [this.#counters.check(asked[0] as Asked, nowMs)];
    const peeked = asked.map((each) => this.#counters.peek(each, nowMs));
    const passes = (verdicts: readonly Verdict[]) => verdicts.every(({ allowed }) => allowed);
    const isAllowed = peeked.every(passes);
    // A check that is denied spends nothing, and may block its key.
    return asked.map((each, at) =>
      isAllowed || !passes(peeked[at] as Verdict[])
        ? this.#counters.check(each, nowMs)
        : (peeked[at] as Verdict[]),
    );
  }

  #giveUncharged(asked: readonly Asked[], verdicts: Verdict[][], record: LogRecord): void {
    for (const [at, { key, policies }] of asked.entries()) {
      const free: CounterPolicy[] = policies.filter((policy) => !isCharged(policy, record.status));
      if (free.length === 0) continue;
      const [verdict] = verdicts[at] as [Verdict];
      const resetMs = policies.length === 1 ? verdict.resetMs : undefined;
      this.#counters.refund({ key, policies: free, spentAtMs: record.atMs, resetMs }, record.atMs);
    }
  }
}

function metOf(rules: readonly Rule[]): Met {
  const isPlain = rules.every(({ policy }) => !policy.overrides && isByAddress(policy));
  return { rules, byAddress: isPlain ? rules.map(({ policy }) => policy) : undefined };
}

export function isByAddress({ key }: Policy): boolean {
  return key.length === 1 && key[0] === "ip";
}

/** Returns why a log cannot replay a policy; undefined if it can. */
function whyOmitted({ algorithm, key }: Policy): string | undefined {
  if (algorithm === "concurrency") return "a log does not tell how long each request took";
  const unlogged = key.find((part) => !LOGGED_PARTS.test(part));
  if (unlogged) return `no log has ${unlogged} of its key`;
  return undefined;
}
