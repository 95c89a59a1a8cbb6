/**
 * Runs the handlers that stand behind the cache: in their request, or later in one of their own.
 */
import { type Context, Hono, type Next } from "hono";

interface Handled {
  response: Response;
  hasFailed: boolean;
}

/**
 * Runs the handlers for the client's request, with other headers.
 *
 * @param signal replaces the client's: others may wait for the answer when this client leaves
 */
export async function runHandlers(
  c: Context,
  next: Next,
  headers: Headers,
  signal: AbortSignal,
): Promise<Handled> {
  const { raw } = c.req;
  c.req.raw = new Request(raw, { headers, signal });
  try {
    await next();
  } finally {
    c.req.raw = raw;
  }
  return { response: c.res, hasFailed: c.error !== undefined };
}

/**
 * Runs the handlers once more, while their request is answered from the store.
 *
 * The handlers get a context and an app of their own, so that nothing they do shows in the answer.
 * They see the variables that the middlewares in front have set.
 */
export function laterHandlers(c: Context): (headers: Headers) => Promise<Handled> {
  // Newer versions of Hono have a function for this; the oldest one that is supported has not.
  const routes = c.req.matchedRoutes.slice(c.req.routeIndex + 1);
  const { url, cf } = c.req.raw as Request<unknown, CfProperties>;
  const variables = Object.entries(c.var);
  const { env } = c;
  const executionCtx = executionOf(c);
  return async (headers) => {
    const app = new Hono();
    let hasFailed = false;
    app.onError((error) => {
      hasFailed = true;
      return new Response(error.message, { status: 500 });
    });
    app.use((inner, next) => {
      for (const [name, value] of variables) inner.set(name as never, value as never);
      return next();
    });
    for (const { path, handler } of routes) app.all(path, handler);
    const request = new Request(url, { headers, ...(cf && { cf }) });
    return { response: await app.fetch(request, env, executionCtx), hasFailed };
  };
}

/** Returns the execution context. A test that calls the app passes none. */
function executionOf(c: Context) {
  try {
    return c.executionCtx;
  } catch {
    return undefined;
  }
}
