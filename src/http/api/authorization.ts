/**
 * Who may call the API: a caller with one of the tokens, for what its scope allows.
 *
 * The limiter itself counts wrong tokens, for each client address. An address that sent too many is
 * refused whatever it sends, the right token too: otherwise guessing could go on. So clients that
 * share an address with a guesser wait with it, and nobody else does. An admin at another address
 * can lift that, by `unblock` or `reset`. A right token costs no call to an owner, unless this
 * isolate saw its address fail in the last minute.
 */

import { createMiddleware } from "hono/factory";
import type { Caller } from "../../caller/caller.ts";
import type { Question } from "../../caller/question.ts";
import type { Config, Scope, Token } from "../../config.ts";
import { type Policy, parsePolicy } from "../../limit/policy.ts";
import { logSeldom } from "../../log.ts";
import { nearestRegion, type Region } from "../../ring/region.ts";
import { problem } from "../answer/problem.ts";
import { refuse } from "../answer/refusal.ts";
import { rulingsOf } from "../answer/ruling.ts";
import { clientAddress, clientKey, warnNoAddress } from "../key/identity.ts";

/** RFC 6750, section 2.1. */
const BEARER = /^Bearer +([\w.~+/-]+=*)$/i;

const FAILURES: Policy = {
  ...parsePolicy({ limit: 10, window: "1m" }),
  // No policy of a configuration or an API call can have this name: a `check:` token must not be
  // able to give guesses back.
  name: "wrong token",
};

/** Addresses that an isolate remembers to have failed; the owners count on if it forgets them. */
const MAX_SUSPECTS = 10_000;

interface AuthorizedEnv {
  Variables: { scope: Scope };
}

/** Makes the middleware that lets those with a token pass, and notes what it is for. */
export function authorize(caller: Caller, config: Config) {
  const scopeOf = tokenReader(config.tokens);
  const suspects = new Suspects();

  return createMiddleware<AuthorizedEnv>(async function authorize(c, next) {
    const [, given] = BEARER.exec(c.req.header("Authorization") ?? "") ?? [];
    // No guess, so not counted: a page can make its visitors' browsers send this.
    if (given === undefined) return unauthorized();
    const scope = await scopeOf(given);
    if (scope === undefined) logSeldom("warn", "wrong-token", "");
    const { headers, cf } = c.req.raw;
    const address = clientAddress(headers, config);
    if (!address && scope === undefined) warnNoAddress(headers, FAILURES.name, config);
    const client = clientKey(address, headers, config);
    const failures = suspects.failuresOf(client.join(), scope === undefined, Date.now());
    if (failures > 0) {
      const region = nearestRegion(cf as IncomingRequestCfProperties, config.homeRegion);
      const questions = [wrongTokensOf(client, region)];
      // A look could overtake the guesses before it that are still on their way to the owner.
      const looks = scope !== undefined && failures < FAILURES.limit;
      const replies = await (looks ? caller.peek(questions) : caller.check(questions));
      const rulings = rulingsOf(replies);
      if (rulings.some(({ decision }) => !decision.allowed)) return refuse(c, rulings);
      // An admin has lifted the lock: a right token must not be what closes it again.
      if (scope !== undefined && !looks) await caller.undo(replies);
    }
    if (scope === undefined) return unauthorized("This token is not valid.");
    c.set("scope", scope);
    await next();
  });
}

/** What the wrong tokens of a client are counted by. */
export function wrongTokensOf(client: readonly string[], region: Region): Question {
  return { key: ["wrong-token", ...client], policies: [FAILURES], region };
}

/** What this isolate knows by itself, and at once. */
class Suspects {
  readonly #known = new Map<string, { failures: number; untilMs: number }>();

  /** Returns how often an address failed in the last minute, now included if it `fails`. */
  failuresOf(address: string, fails: boolean, nowMs: number): number {
    const known = this.#known.get(address);
    const entry =
      known && nowMs < known.untilMs ? known : { failures: 0, untilMs: nowMs + FAILURES.windowMs };
    if (!fails) return entry.failures;
    entry.failures++;
    if (this.#known.size >= MAX_SUSPECTS) this.#known.clear();
    this.#known.set(address, entry);
    return entry.failures;
  }
}

/** Lets only those pass whose token may do everything. */
export const requireAdmin = createMiddleware<AuthorizedEnv>(async (c, next) => {
  if (c.var.scope === "admin") return next();
  const detail = 'This call needs a token with the scope "admin".';
  return problem(
    { status: 403, title: "Not allowed", detail },
    { "WWW-Authenticate": 'Bearer error="insufficient_scope", scope="admin"' },
  );
});

function unauthorized(detail = "The header Authorization must be Bearer and a token."): Response {
  return problem(
    { status: 401, title: "Not authorized", detail },
    { "WWW-Authenticate": "Bearer" },
  );
}

/** Returns what finds a token's scope, in a time that says nothing about any token. */
function tokenReader(tokens: readonly Token[]) {
  let hashes: ArrayBuffer[] | undefined;

  return async function scopeOf(given: string): Promise<Scope | undefined> {
    hashes ??= await Promise.all(tokens.map(({ secret }) => digest(secret)));
    const hash = await digest(given);
    let found: Scope | undefined;
    for (const [at, { scope }] of tokens.entries()) {
      if (crypto.subtle.timingSafeEqual(hash, hashes[at] as ArrayBuffer)) found = scope;
    }
    return found;
  };
}

function digest(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
