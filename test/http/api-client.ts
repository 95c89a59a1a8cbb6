/** The API over real owners, and how the tests call it. */

import { env } from "cloudflare:workers";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api.ts";
import { WORKERS } from "../../src/runtime.ts";

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
  return app.request(path, {
    method: "POST",
    headers: { Authorization: "Bearer secret-1", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

export async function answer<Body = Record<string, unknown>>(
  response: Response | Promise<Response>,
) {
  return (await (await response).json()) as Body;
}
