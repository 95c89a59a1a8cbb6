/** The API over real owners, and how the tests call it. */

import { env } from "cloudflare:workers";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api/api.ts";
import openapi from "../../src/http/api/openapi.json" with { type: "json" };
import { WORKERS } from "../../src/runtime.ts";
import { PROXY, requireDocumented } from "../openapi/proxy.ts";

const DAY = [
  { name: "day", limit: 10, window: "1d" },
  { name: "hour", limit: 5, window: "1h" },
];
export const config = parseConfig({
  TOKEN: "secret-1",
  POLICIES: DAY,
  // A busy machine must not have tests counted by the fallback.
  DEADLINE: "10s",
});
export const caller = new Caller({ owners: env.TURNPIKE_OWNERS, runtime: WORKERS, ...config });
export const app = api(caller, config);

export const fresh = () => crypto.randomUUID();

export function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  return send("POST", path, body, headers);
}

export function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const isText = typeof body === "string";
  const init = {
    method,
    headers: {
      Authorization: "Bearer secret-1",
      "Content-Type": "application/json",
      ...headers,
    },
    ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
  };
  // The proxy reads JSON itself, leaves null out, and knows only the paths of the document.
  const isProxied =
    PROXY && !isText && body !== null && (path.split("?")[0] as string) in openapi.paths;
  return isProxied ? fetch(PROXY + path, init).then(requireDocumented) : app.request(path, init);
}

export async function answer<Body = Record<string, unknown>>(
  response: Response | Promise<Response>,
) {
  return (await (await response).json()) as Body;
}
