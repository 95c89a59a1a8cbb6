/** A Worker that has another one count for it. */
import type { Turnpike } from "turnpike";

export interface Env {
  LOGIN_LIMIT: Service<Turnpike>;
}

export default {
  async fetch(request, env) {
    const key = new URL(request.url).pathname;
    const { success, limit, remaining } = await env.LOGIN_LIMIT.limit({ key });
    const { exact, source } = await env.LOGIN_LIMIT.peek(key);
    const body = { success, limit, remaining, exact, source };
    return Response.json(body, { status: success ? 200 : 429 });
  },
} satisfies ExportedHandler<Env>;
