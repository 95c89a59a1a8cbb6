/** A Worker that counts for others. */
import { limiter } from "turnpike";

export { Membership, RateLimiter, Turnpike } from "turnpike";

limiter({ name: "login", limit: 3, window: "1d" });

export default { fetch: () => new Response("limits") } satisfies ExportedHandler;
