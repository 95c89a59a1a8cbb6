/** An app of a few lines with Turnpike as its library, in a workerd with nothing in front. */
import { join } from "node:path";
import { bundleText } from "./bench/contenders.ts";
import { startWorkerd, type WorkerdOptions, type WorkerdServer } from "./bench/workerd-server.ts";

/** What an app imports Turnpike from. */
export const LIBRARY = JSON.stringify(join(import.meta.dirname, "../src/index.ts"));
export const CACHE = JSON.stringify(join(import.meta.dirname, "../src/cache.ts"));

/**
 * Starts it.
 *
 * @param code what adds to the Hono app `app`; `limiter`, `rateLimit` and `DurableObject` are there
 * @param classes the lines that export the classes of the objects
 */
export async function startApp(
  code: string,
  options: Partial<WorkerdOptions> = {},
  classes = `export { Membership, RateLimiter } from ${LIBRARY};`,
): Promise<WorkerdServer> {
  const contents = `
    import { DurableObject } from "cloudflare:workers";
    import { Hono } from "hono";
    import { limiter, rateLimit } from ${LIBRARY};
    ${classes}
    const app = new Hono();
    ${code}
    export default app;`;
  const script = await bundleText(contents, import.meta.dirname);
  return startWorkerd({ script, vars: { DEADLINE: "10s" }, hasObjects: true, ...options });
}
