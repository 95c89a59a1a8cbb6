/** Calls the API of a running Worker. */

import { existsSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { parseJson } from "../../limit/json.ts";
import { inOptions } from "../options.ts";
import { named, UserError } from "../user-error.ts";

const API = "/_turnpike/v1";
/** Policies and blocks are written in every region before they are answered. */
const TIMEOUT_MS = 30_000;
/** The token of `npm start`, which listens on this machine only. */
const LOCAL_TOKEN = "dev";
const LOCAL = /^(?:localhost|127\.0\.0\.1|\[::1\])$/;
/** The status of a call with a mistake in it. */
export const BAD_REQUEST = 400;
/** What the API writes as `{"ip": …}` or `{"key": […]}`. */
const AS_ARGUMENT = `as an argument: user-1, ip:192.0.2.7, or '["my-app", "192.0.2.7"]'`;
const SECRETS_FILE = ".dev.vars";

export interface Call {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  body?: object;
  /** Of the policies that a change replaces. */
  ifVersion?: number;
}

/** An answer that refuses a call. */
export class RefusedError extends UserError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Returns the answer's JSON; undefined for an answer without a body.
 *
 * @param url of the Worker, such as `https://limits.example.com`
 * @throws {RefusedError} if the Worker refuses the call
 * @throws {UserError} if the Worker does not answer, or something else does
 */
export async function call(url: string, { method, path, body, ifVersion }: Call): Promise<unknown> {
  const base = parsedUrl(url);
  if (!/^\/(?:_turnpike(?:\/.*)?)?$/.test(base.pathname) || base.search) {
    throw new UserError(`--url must have no path, got ${url}: ${base.origin}`);
  }
  const headers = {
    ...bearer(base),
    "Content-Type": "application/json",
    ...(ifVersion !== undefined && { "If-Match": `"${ifVersion}"` }),
  };
  const { status, location, text } = await fetched(new URL(API + path, base), {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    // Followed, the token would go to another place.
    redirect: "manual",
  });
  if (location !== null) {
    const place = URL.parse(location, base)?.origin ?? location;
    throw new UserError(`${base.origin} sends us on to ${place}: write --url ${place}?`);
  }
  const answer = parseJson(text);
  if (status >= 300) throw new RefusedError(status, whyRefused(status, answer, base, path));
  if (status === 204 || (answer as object | undefined)?.constructor === Object) return answer;
  const what = answer === undefined ? "no JSON" : "JSON of another kind";
  throw new UserError(`${base.origin} answers ${what}: is it a Turnpike?`);
}

/**
 * Makes something of an answer.
 *
 * @throws {UserError} if that fails, for JSON that is no answer of Turnpike
 */
export function made<Value>(make: () => Value): Value {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UserError("the Worker answers JSON of another kind: is it a Turnpike?");
  }
}

/**
 * Fetches an answer whole.
 *
 * @throws {UserError} if the Worker does not answer, or its answer breaks off
 */
export async function fetched(url: URL | Request, init: RequestInit = {}) {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { status, headers } = response;
    const isRedirect = status >= 300 && status < 400;
    const location = isRedirect ? headers.get("Location") : null;
    return { status, headers, location, text: await response.text() };
  } catch (error) {
    const { origin } = new URL(url instanceof Request ? url.url : url);
    const mend = "set TURNPIKE_URL or --url to the Worker's address";
    throw new UserError(`${origin} is not reachable (${whyUnreached(error)}): ${mend}`);
  }
}

/** @throws {UserError} if it is no address of a server */
export function parsedUrl(url: string): URL {
  const scheme = /^(?:localhost|127\.|\[::1\])/.test(url) ? "http" : "https";
  const base = URL.parse(url.includes("://") ? url : `${scheme}://${url}`);
  if (base?.username || base?.password) {
    throw new UserError("--url must have no user and no password in it");
  }
  if (base && /^https?:$/.test(base.protocol)) return base;
  throw new UserError(`--url must be an address such as https://limits.example.com, got ${url}`);
}

/** Returns the header with the token of a Worker. */
function bearer(base: URL): { Authorization: string } {
  return { Authorization: `Bearer ${tokenFor(base)}` };
}

/** From the environment, else from the file with the secrets of `wrangler dev`. */
function tokenFor(base: URL): string {
  const isLocal = LOCAL.test(base.hostname);
  // An empty variable counts as not set.
  const token = process.env.TURNPIKE_TOKEN || tokenInFile() || (isLocal ? LOCAL_TOKEN : undefined);
  if (!token) {
    throw new UserError(`no token: set TURNPIKE_TOKEN, or write TOKEN=… into ${SECRETS_FILE}`);
  }
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UserError("the token has a space, or a letter that no header may have");
}

/**
 * `TOKEN` may have several, each with its scope in front: one that may do everything is preferred.
 */
function tokenInFile(): string | undefined {
  if (!existsSync(SECRETS_FILE)) return undefined;
  const text = named(SECRETS_FILE, () => readFileSync(SECRETS_FILE, "utf8"));
  const tokens = parseEnv(text).TOKEN?.match(/\S+/g) ?? [];
  const admin = tokens.find((token) => !token.includes(":") || token.startsWith("admin:"));
  return (admin ?? tokens[0])?.replace(/^\w+:/, "");
}

function whyUnreached(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === "TimeoutError") return `no answer in ${TIMEOUT_MS / 1_000} s`;
  const { code, message: reason } = (cause ?? {}) as NodeJS.ErrnoException;
  return code ?? reason ?? message;
}

function whyRefused(status: number, answer: unknown, { origin }: URL, path: string): string {
  if (status === 401) return `${origin} does not know this token: is TURNPIKE_TOKEN right?`;
  const { detail, title, field } = (answer ?? {}) as Record<string, unknown>;
  if (status === 404 && !detail) {
    const why = "is it a Turnpike, and as new as this one? An app with the library has no API";
    return `${origin} does not know ${API}${path}: ${why}`;
  }
  if (typeof detail === "string") {
    const isOfKey = field === "key" || field === "ip";
    return isOfKey ? `${detail} (${AS_ARGUMENT})` : inOptions(detail, String(field));
  }
  return `${origin} answers ${status}${typeof title === "string" ? `, ${title}` : ""}: is it a Turnpike?`;
}
