/** An app under policies, for tests of what a policy may say. */
import { Hono } from "hono";
import { type RateLimitEnv, type RateLimitOptions, rateLimit } from "../../src/index.ts";

export interface Sent {
  ip?: string;
  path?: string;
  headers?: Record<string, string>;
  cf?: IncomingRequestCfProperties;
}

export function appWith(...policies: Partial<RateLimitOptions>[]) {
  const app = new Hono<RateLimitEnv>();
  const named = policies.map((policy) => ({
    name: crypto.randomUUID(),
    limit: 2,
    window: "1h",
    ...policy,
  }));
  app.use(rateLimit(...named));
  app.get("/fail", (c) => c.text("wrong password", 401));
  app.get("/throw", () => {
    throw new Error("handler");
  });
  app.onError((_, c) => c.text("error", 500));
  app.get("*", (c) => c.json({ decision: c.var.decision, decisions: c.var.decisions }));
  return async ({ ip = "192.0.2.1", path = "/", headers = {}, cf }: Sent = {}) => {
    const request = new Request(`https://site.example${path}`, {
      headers: { "CF-Connecting-IP": ip, ...headers },
      ...(cf && { cf }),
    });
    const pending: Promise<unknown>[] = [];
    const context = { waitUntil: (task: Promise<unknown>) => pending.push(task) };
    const response = await app.fetch(request, {}, context as unknown as ExecutionContext);
    const body = await response.text();
    await Promise.all(pending);
    return { status: response.status, headers: response.headers, body };
  };
}

export async function statuses(send: ReturnType<typeof appWith>, all: Sent[]): Promise<number[]> {
  const found: number[] = [];
  for (const each of all) found.push((await send(each)).status);
  return found;
}
