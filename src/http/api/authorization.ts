/**
 * Who may call the API: clients with a token, as far as its scope allows.
 *
 * The limiter itself counts wrong tokens, by client address. An address that sent too many gets
 * 429, even for a right token: otherwise it could go on guessing. Clients that share the address
 * have to wait, too. An admin at another address can lift the lock by `unblock` or `reset`. A right
 * token counts nothing. It costs no call to an owner, unless this isolate saw its address fail in
 * the last minute.
 */

import { createMiddleware } from "hono/factory";
import type { Caller } from "../../caller/caller.ts";
import { decided, type Question } from "../../caller/question.ts";
import type { Config, Scope, Token } from "../../config.ts";
import { type Policy, parsePolicy } from "../../limit/policy.ts";
import type { LimiterConfig } from "../../limiter-config.ts";
import { logSeldom } from "../../log.ts";
import { nearestRegion, type Region } from "../../ring/region.ts";
import { problem } from "../answer/problem.ts";
import { clientAddress, clientKey, warnNoAddress } from "../key/identity.ts";
import { tooMany } from "./api-error.ts";
import { sessionsOf } from "./session.ts";

/** The header with a token (RFC 6750, section 2.1). */
const BEARER = /^Bearer +([\w.~+/-]+=*)$/i;

const FAILURES: Policy = {
  ...parsePolicy({ limit: 10, window: "1m" }),
  // A policy's name cannot have a blank, so no API call can give guesses back.
  name: "wrong token",
};

/** For right tokens: costs nothing, so they lock nobody out, and passes while a guess would. */
const RIGHT: Policy = { ...FAILURES, limit: FAILURES.limit - 1, cost: 0 };

/** The most failing addresses that an isolate remembers. Owners count those that it forgets. */
const MAX_SUSPECTS = 10_000;

export interface AuthorizedEnv {
  Variables: { scope: Scope };
}

/** The middleware that requires a token. An isolate has one: it knows who sent wrong tokens. */
export type Authorize = ReturnType<typeof authorize>;

/**
 * Makes the middleware that requires a token, or a session of the live page, and sets the token's
 * `scope`.
 */
export function authorize(caller: Caller, config: LimiterConfig & Pick<Config, "tokens">) {
  const scopeOf = tokenReader(config.tokens);
  const sessions = sessionsOf(config);
  const suspects = new Suspects();

  return createMiddleware<AuthorizedEnv>(async function authorize(c, next) {
    const [, given] = BEARER.exec(c.req.header("Authorization") ?? "") ?? [];
    if (given === undefined && (await sessions.holds(c))) {
      c.set("scope", "admin");
      return next();
    }
    // A request without a token is not a guess: pages can make visitors' browsers send those.
    if (given === undefined) return unauthorized();
    const scope = await scopeOf(given);
    if (scope === undefined) logSeldom("warn", "wrong-token", "");
    const { headers, cf } = c.req.raw;
    const address = clientAddress(headers, config);
    if (!address && scope === undefined) warnNoAddress(headers, FAILURES.name, config);
    const client = clientKey(address, { headers }, config);
    if (suspects.includes(client.join(), scope === undefined, Date.now())) {
      const region = nearestRegion(cf as IncomingRequestCfProperties, config.homeRegion);
      const question = wrongTokensOf(client, region);
      // Right tokens are checked, too: a peek could overtake guesses on their way to the owner.
      const asked =
        scope === undefined ? question : { ...question, policies: [RIGHT], isGuard: true };
      const { allowed, retryAfterMs } = decided(await caller.check([asked]));
      if (!allowed) return tooMany("This address has sent too many wrong tokens.", retryAfterMs);
    }
    if (scope === undefined) return unauthorized("This token is not valid.");
    c.set("scope", scope);
    await next();
  });
}

/** Returns the question by which a client's wrong tokens are counted. */
export function wrongTokensOf(client: readonly string[], region: Region): Question {
  return { key: ["wrong-token", ...client], policies: [FAILURES], region };
}

/** The addresses that failed in this isolate. */
class Suspects {
  readonly #untilMs = new Map<string, number>();

  /** Returns true if the address has failed in the last minute, this request included. */
  includes(address: string, fails: boolean, nowMs: number): boolean {
    if (fails) {
      if (this.#untilMs.size >= MAX_SUSPECTS) this.#untilMs.clear();
      this.#untilMs.set(address, nowMs + FAILURES.windowMs);
    }
    return nowMs < (this.#untilMs.get(address) ?? 0);
  }
}

/** Makes the middleware that requires a token with a scope. A token with `admin` has all scopes. */
export function requireScope(scope: Scope) {
  return createMiddleware<AuthorizedEnv>(async (c, next) => {
    if (c.var.scope === scope || c.var.scope === "admin") return next();
    const detail = `This call needs a token with the scope "${scope}".`;
    const challenge = `Bearer error="insufficient_scope", scope="${scope}"`;
    const headers = { "WWW-Authenticate": challenge };
    return problem({ status: 403, title: "Not allowed", detail }, headers);
  });
}

function unauthorized(detail = "The header Authorization must be Bearer and a token."): Response {
  const headers = { "WWW-Authenticate": "Bearer" };
  return problem({ status: 401, title: "Not authorized", detail }, headers);
}

/** Makes the function that finds a token's scope, in constant time. */
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
