/** The options of `cached()`. */
import type { Context } from "hono";
import * as v from "valibot";
import { durationSchema } from "../../limit/duration.ts";
import { parse } from "../../limit/misuse.ts";
import { MAX_KEPT_MS, tagsSchema } from "../value.ts";

export interface CachedOptions {
  /**
   * How long a response is fresh if neither its `Cache-Control` nor `Expires` says so: a duration
   * from `"0s"` to `"7d"`. Default `"0s"`: such a response is not stored. Applies only to statuses
   * that may be cached by default, such as 200, 301 and 404.
   */
  ttl?: string;
  /**
   * How long a stale response may be served while another is fetched or the handler fails: a
   * duration from `"0s"` to `"7d"`, default `"0s"`. A response's own `stale-while-revalidate` and
   * `stale-if-error` win over this; its `must-revalidate`, `proxy-revalidate`, `no-cache` and
   * `s-maxage` forbid it.
   */
  staleFor?: string;
  /**
   * Names under which responses can be purged together. A function may use the status and the
   * headers of the response, which has no body.
   */
  tags?: readonly string[] | ((c: Context, response: Response) => readonly string[]);
  /**
   * Returns the key that a response is stored under. Default the URL with its query. Requests with
   * the same key get each other's responses. So the key must include whatever a response depends
   * on, except what `Vary` names.
   */
  key?: (c: Context) => string;
  /**
   * Whether a client may refuse a fresh response, by `Cache-Control: no-cache`, `max-age` or
   * `min-fresh`. Default false, since such a client can make the handler run each time.
   */
  clientMayRefresh?: boolean;
}

export interface CacheOptions {
  ttlMs: number;
  staleForMs: number;
  tags: (c: Context, response: Response) => readonly string[];
  key: ((c: Context) => string) | undefined;
  clientMayRefresh: boolean;
}

const aFunction = v.custom<(c: Context) => never>(
  (input) => typeof input === "function",
  "must be a function",
);
const schema = v.strictObject({
  ttl: v.optional(durationSchema(0, MAX_KEPT_MS), "0s"),
  staleFor: v.optional(durationSchema(0, MAX_KEPT_MS), "0s"),
  tags: v.optional(v.union([tagsSchema, aFunction], "must be a list of names or a function"), []),
  key: v.optional(aFunction),
  clientMayRefresh: v.optional(v.boolean("must be true or false"), false),
});

/** @throws {MisuseError} naming the field, the rule and the value */
export function parseOptions(options: CachedOptions): CacheOptions {
  const { ttl, staleFor, tags, key, clientMayRefresh } = parse(schema, options);
  return {
    ttlMs: ttl,
    staleForMs: staleFor,
    tags: typeof tags === "function" ? checked(tags as CacheOptions["tags"]) : () => tags,
    key,
    clientMayRefresh,
  };
}

/** @throws {MisuseError} from the function that it returns, if that one returns no list of text */
function checked(tagsOf: CacheOptions["tags"]): CacheOptions["tags"] {
  return (c, response) => parse(tagsSchema, tagsOf(c, response), "tags");
}
