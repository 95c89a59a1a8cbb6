/** An app whose handler answers what the test says, behind the cache. */
import { type Context, Hono } from "hono";
import { parseList } from "structured-headers";
import { cachedIn } from "../../../src/cache/http/cached.ts";
import type { CachedOptions } from "../../../src/cache/http/options.ts";
import { MemoryStore } from "./memory-store.ts";

type Answer = (c: Context) => Response | Promise<Response>;

export class CachedApp {
  readonly store = new MemoryStore();
  readonly app = new Hono();
  /** Requests that reached the handler, oldest first. */
  readonly handled: Request[] = [];
  answer: Answer = (c) => c.text("Hi there!");

  constructor(options: CachedOptions = {}) {
    this.app.use(cachedIn(() => this.store, options));
    this.app.all("*", (c) => {
      this.handled.push(c.req.raw);
      return this.answer(c);
    });
  }

  /** Has the handler answer so from now on. */
  says(headers: Record<string, string>, body = "Hi there!", status = 200): void {
    this.answer = () => new Response(body, { status, headers });
  }

  send(headers: Record<string, string> = {}, path = "/", method = "GET"): Promise<Response> {
    const request = new Request(`https://site.example${path}`, { method, headers });
    return Promise.resolve(this.app.fetch(request));
  }
}

/** What the last cache in `Cache-Status` says, as a reader of structured fields sees it. */
export function statusOf(response: Response): Record<string, unknown> {
  const [cache, parameters] = parseList(response.headers.get("Cache-Status") ?? "").at(-1) ?? [];
  if (String(cache) !== "turnpike" || !(parameters instanceof Map)) return {};
  const plain = [...parameters].map(([name, value]) => [
    name,
    typeof value === "object" ? String(value) : value,
  ]);
  return Object.fromEntries(plain);
}
