/** Calls the API of a running Worker. */

import { existsSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { parseJson } from "../../limit/json.ts";
import { UserError } from "../user-error.ts";

const API = "/_turnpike/v1";
const TIMEOUT_MS = 10_000;
/** The token of `npm start`, which listens on this machine only. */
const LOCAL_TOKEN = "dev";
const LOCAL = /^(?:localhost|127\.0\.0\.1|\[::1\])$/;
const SECRETS_FILE = ".dev.vars";

export interface Call {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  body?: object;
}

/**
 * Returns the answer's JSON; undefined for an answer without a body.
 *
 * @param url of the Worker, such as `https://limits.example.com`
 * @throws {UserError} if the Worker refuses the call, or does not answer
 */
export async function call(url: string, { method, path, body }: Call): Promise<unknown> {
  const base = parsedUrl(url);
  const headers = { ...bearer(base), "Content-Type": "application/json" };
  const response = await fetch(new URL(API + path, base), {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((error: unknown) => {
    throw new UserError(
      `${base.origin} is not reachable (${whyUnreached(error)}): is --url right?`,
    );
  });
  const text = await response.text();
  const answer = parseJson(text);
  if (response.ok) {
    if (text === "" || answer !== undefined) return answer;
    throw new UserError(`${base.origin} answers no JSON: is it a Turnpike?`);
  }
  throw new UserError(whyRefused(response.status, answer, base));
}

/** @throws {UserError} if it is no address of a server */
export function parsedUrl(url: string): URL {
  const base = URL.parse(url.includes("://") ? url : `https://${url}`);
  if (base && /^https?:$/.test(base.protocol)) return base;
  throw new UserError(`--url must be an address such as https://limits.example.com, got ${url}`);
}

/** Returns the header with the token of a Worker. */
export function bearer(base: URL): { Authorization: string } {
  return { Authorization: `Bearer ${tokenFor(base)}` };
}

/** From the environment, else from the file with the secrets of `wrangler dev`. */
function tokenFor(base: URL): string {
  const isLocal = LOCAL.test(base.hostname);
  const token = process.env.TURNPIKE_TOKEN ?? tokenInFile() ?? (isLocal ? LOCAL_TOKEN : undefined);
  if (!token) {
    throw new UserError(`no token: set TURNPIKE_TOKEN, or write TOKEN=… into ${SECRETS_FILE}`);
  }
  return token;
}

/** `TOKEN` may have several, each with its scope in front. The last has the widest scope as a rule. */
function tokenInFile(): string | undefined {
  if (!existsSync(SECRETS_FILE)) return undefined;
  const tokens = parseEnv(readFileSync(SECRETS_FILE, "utf8")).TOKEN?.match(/\S+/g) ?? [];
  const admin = tokens.find((token) => !token.includes(":") || token.startsWith("admin:"));
  return (admin ?? tokens[0])?.replace(/^\w+:/, "");
}

/** Says why a call of `fetch` failed. */
export function whyUnreached(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === "TimeoutError") return `no answer in ${TIMEOUT_MS / 1_000} s`;
  const { code, message: reason } = (cause ?? {}) as NodeJS.ErrnoException;
  return code ?? reason ?? message;
}

function whyRefused(status: number, answer: unknown, { origin }: URL): string {
  if (status === 401) return `${origin} does not know this token: is TURNPIKE_TOKEN right?`;
  const { detail, title } = (answer ?? {}) as { detail?: string; title?: string };
  return detail ?? `${origin} answers ${status}${title ? `, ${title}` : ""}: is it a Turnpike?`;
}
