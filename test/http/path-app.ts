/** An app under policies that look at the path or the method. */
import { Hono } from "hono";
import { type RateLimitOptions, rateLimit } from "../../src/index.ts";

export const SITE = "https://site.example";

/** Returns what sends requests to an app with these policies, under names of their own. */
export function appWith(...policies: Partial<RateLimitOptions>[]) {
  const app = new Hono();
  const named = policies.map((policy) => ({
    name: crypto.randomUUID(),
    limit: 1,
    window: "1h",
    ...policy,
  }));
  app.use(rateLimit(...named));
  app.all("*", (c) => c.text("fine"));
  return async (path: string, method = "GET", ip = "192.0.2.1") =>
    app.request(`${SITE}${path}`, { method, headers: { "CF-Connecting-IP": ip } });
}

export async function statuses(
  send: ReturnType<typeof appWith>,
  paths: readonly string[],
  method?: string,
): Promise<number[]> {
  const found: number[] = [];
  for (const path of paths) found.push((await send(path, method)).status);
  return found;
}
