/**
 * A policy as a person writes it, with what an editor shows on each field.
 *
 * Checks nothing: `policySchema` does, and a test compares the two.
 */
import type { AlgorithmName, Start } from "./algorithms.ts";
import type { Mode } from "./mode.ts";

/**
 * A policy. Only `limit` and `window` have no default. A field out of bounds is misuse.
 */
export interface PolicyInput extends CountingFields, Omit<QuotaFields, "cost">, RequestFields {
  /**
   * Units that a request takes: from 1 to what passes at once. Default 1. Or a path into the JSON
   * of its body, such as `"json:max_tokens"`; 1 if the body has no such number.
   */
  cost?: number | string | undefined;
  /**
   * Where the response tells its actual cost, a whole number from 0 on: `"header:X-Cost"`,
   * `"json:usage.total_tokens"` (its JSON, or the last event of a stream that has it) or `"bytes"`.
   * Default: nowhere. Not beside `lease`, nor with `"concurrency"`.
   *
   * `cost` is then an estimate that is reserved before the handler runs, and charged if the
   * response tells nothing. Units beyond the limit delay the next requests. At most 1,000 requests
   * of a key are under way at once.
   */
  actual?: string | undefined;
  /**
   * The parts that tell clients apart. Default `["ip"]`, at least one: `ip`, `ip/32` to `ip/128`,
   * `host`, `path`, `param:NAME`, `method`, `country`, `asn`, `ja4`, `bot`, `header:NAME`,
   * `cookie:NAME`, `query:NAME`.
   *
   * Clients behind one address share its quota. A value that a client makes up (`header:`,
   * `cookie:`, `query:`, `ja4`) gets a quota of its own, so put a policy by `ip` beside it.
   */
  key?: readonly string[] | undefined;
  /**
   * Which responses are charged: `"always"` (default), `"failure"` (status 400 and above),
   * `"success"` (below 400), or a list of statuses from 200 to 999.
   *
   * The cost is taken before the response is known and given back after it. Other isolates may go
   * on denying for 1 s after that.
   */
  charge?: "always" | "failure" | "success" | readonly number[] | undefined;
  /** The answer to a denied request. Default: the standard 429, as problem JSON or as a page. */
  refusal?: RefusalInput | undefined;
}

/** Which requests meet a policy, and which of them wait. */
export interface RequestFields {
  /**
   * Requests that count, by path. Default `"/*"`. `*` and `:name` stand for one segment, `*` at the
   * end for all below, `"*.pdf"` or `"/files/*.pdf"` for an extension. Case, slashes and encodings
   * make no difference.
   */
  path?: string | undefined;
  /**
   * Requests that do not count, by path: a list such as `["/assets/*", "*.css"]`. Default none.
   *
   * A path that an origin may read in another way counts. Extensions are for `GET` and `HEAD`
   * alone.
   */
  except?: readonly string[] | undefined;
  /** Requests that count, by method, in capitals. Default all. `"GET"` includes `"HEAD"`. */
  method?: readonly string[] | undefined;
  /**
   * How long a denied request waits for its turn instead, from `"0s"` (default) to `"30s"`.
   *
   * Of a key, as many requests wait as can pass in that time. An isolate holds at most 1,000
   * requests, and knows only its own: of those that wait in several isolates, some are denied.
   */
  maxWait?: string | undefined;
  /**
   * When a request is decided. Default `"before"`.
   *
   * - `"before"`: the handler starts when the verdict is there. Exact.
   * - `"alongside"`: the handler starts at once, and its answer is held until the verdict. Exact.
   *   After a denial nothing of the answer is sent, and `c.req.raw.signal` is aborted; what the
   *   handler did by then stays done. For `GET` and `HEAD` alone; `{ alongside: ["GET", "POST"] }`
   *   names others.
   * - `"after"`: the isolate decides from what it knows, and tells the owner within 50 ms, up to
   *   100 checks in a call. Not exact: once a limit is spent, each isolate lets requests pass until
   *   it next hears from the owner. Decisions have `source: "local"` and `exact: false`.
   *
   * Only `"before"` with `concurrency`, `leaky-bucket` and `maxWait`; not `"after"` with `durable`,
   * `actual` or a `charge` that looks at the response. Of several policies, the strictest decides
   * when the handler starts.
   */
  mode?: Mode | { alongside: readonly string[] } | undefined;
  /** Addresses and networks that the policy does not count: `["192.0.2.0/24"]`. Default none. */
  allow?: readonly string[] | undefined;
  /**
   * Addresses and networks that get a 403, unless `allow` has them. Default none; unused in shadow.
   */
  deny?: readonly string[] | undefined;
}

/** What a key may spend, and what one check spends of it. */
export interface QuotaFields {
  /**
   * Units in a window, a whole number from 0 to 1,000,000,000. With 0, nothing passes.
   *
   * At most 10,000 for `sliding-log` and `concurrency`, which keep every entry. For the sliding
   * window and the buckets, `limit` × `window` in milliseconds stays below 2^51.
   */
  limit: number;
  /**
   * Length of a window: a whole number and one of `ms`, `s`, `m`, `h`, `d`, `w`, from `"1s"` to
   * `"366d"`.
   *
   * Fixed and sliding windows are aligned to 1970 in UTC: a day begins at midnight, a week on
   * Thursday. A policy with a new window starts with no counts.
   */
  window: string;
  /** Units that a request takes: from 1 to what passes at once. Default 1. */
  cost?: number | undefined;
  /**
   * Other limits for some keys, up to 1,000: an exact key of one part, or a network of addresses
   * such as `"192.0.2.0/24"`. Default none. An exact key wins, then the smallest network. One IPv6
   * address stands for its client's whole network. A token of `Authorization` is written without
   * its scheme. `PUT overrides` of the API wins over these. Refused where `limit` or `window` is a
   * function.
   */
  overrides?: readonly { key: string; limit: number }[] | undefined;
}

/** How a policy counts. Limiters by HTTP request and by call share these fields. */
export interface CountingFields {
  /**
   * What answers, logs and counters call the policy: 1 to 64 letters, digits, dots, dashes or
   * underscores. Default `"default"`. Must differ for each policy.
   *
   * A policy with a new name starts with no counts.
   */
  name?: string | undefined;
  /**
   * How units are counted. Default `"fixed-window"`. Weaknesses, at 10 a minute:
   *
   * - `"fixed-window"`: ten requests at 0:59.9 and ten at 1:00.1 all pass.
   * - `"sliding-window"`: ten at 0:59.9, then five more by 1:30.
   * - `"sliding-log"`: exact at every instant, for up to 16 bytes a request.
   * - `"token-bucket"`: with a burst of 10, ten at 0:00 and ten more by 1:00.
   * - `"leaky-bucket"`: delays requests to an even pace; the tenth at 0:00 waits until 0:54.
   * - `"concurrency"`: counts requests in flight; one that outlasts `window` no longer counts.
   */
  algorithm?: AlgorithmName | undefined;
  /**
   * When a window begins: `"aligned"` (default) to the minute, hour or day of UTC, or `"first"`,
   * with a key's first request. Only for `"fixed-window"`.
   */
  start?: Start | undefined;
  /**
   * Token bucket: tokens that it holds, default `limit`. Leaky bucket: requests that wait, default
   * `limit` − 1. A whole number from 1 to 1,000,000,000. Refused with any other algorithm.
   *
   * A bucket must fill or drain within 366 days. The middleware holds no request for more than
   * 60 s: it shortens the default burst of a leaky bucket to that, and refuses a longer one.
   */
  burst?: number | undefined;
  /**
   * Counts and reports, but denies nothing: for a trial of a new limit. Default false. An operator's
   * block still holds.
   */
  shadow?: boolean | undefined;
  /**
   * How long a key stays blocked once it is denied: `"1s"` to `"366d"`, or the first and the
   * longest such block. Default none. Not beside `maxWait` or `lease`.
   *
   * A block lasts at least until the denied request could pass (not with `concurrency`). A key that
   * is denied again within two blocks' length after its last one is blocked for twice as long.
   * Clients that share a key share its block. With a `charge` that looks at the response, parallel
   * requests count until they end, so leave room for them.
   */
  blockFor?: string | BlockForInput | undefined;
  /**
   * Writes each count to disk before it is answered, so that a crash loses none. Default false,
   * which can lose about the last 2 s.
   *
   * Costs two more rows for each check, and the time to write them.
   */
  durable?: boolean | undefined;
  /**
   * Share of the limit, from 0 (default) to 0.5, that a hot key's owner hands to one isolate. The
   * isolate then decides without a call. Only for `"fixed-window"`, and with `charge` `"always"`.
   *
   * What an isolate does not use by the end of the window is lost. Decisions have `exact: false`.
   */
  lease?: number | undefined;
  /**
   * What happens to a check whose owner does not answer: `"local"` (default) counts in the isolate,
   * `"allow"` lets it pass, `"deny"` denies it with a 503.
   *
   * With `"local"`, each isolate lets a whole limit pass.
   */
  onFailure?: "local" | "allow" | "deny" | undefined;
  /**
   * Which owners count a key: `"region"`, those nearest to the client, or `"global"`, those of
   * `HOME_REGION`. Default `"region"` for a key with the client's address, else `"global"`.
   *
   * With `"region"`, a client that reaches several regions has a quota in each.
   */
  scope?: "region" | "global" | undefined;
}

export interface BlockForInput {
  /** Length of a key's first block, `"1s"` to `"366d"`. */
  first: string;
  /** The longest block, from `first` to `"366d"`. Default `"1d"`, or `first` if that is longer. */
  max?: string | undefined;
}

export interface RefusalInput {
  /**
   * Status: 400 to 599, default 429, but none of 401, 405, 407, 408, 421, 425, 426. Beside
   * `redirect` it is 302 or 303, default 303.
   */
  status?: number | undefined;
  /**
   * Body: text, or a table or list that is sent as JSON; at most 16,384 characters. Default: the
   * standard body. Not beside `redirect`.
   */
  body?: string | object | undefined;
  /**
   * Media type of `body`, in UTF-8. Default `text/plain`, or `application/json` for a table or
   * list.
   */
  type?: string | undefined;
  /** Where the client is sent: a path on the same site, or a URL with `http` or `https`. */
  redirect?: string | undefined;
}
