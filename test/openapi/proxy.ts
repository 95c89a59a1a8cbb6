/** The proxy of `npm run check:openapi`, which compares what passes with the document. */
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the proxy is, in front of a running API; "" where there is none. */
    apiProxy: string;
  }
}

export const PROXY = inject("apiProxy");

/** @throws {Error} if the proxy found a difference, but for a request that is refused */
export function requireDocumented(response: Response): Response {
  const violations = JSON.parse(response.headers.get("sl-violations") ?? "[]") as {
    location: string[];
  }[];
  const isRefused = response.status >= 400;
  const wrong = violations.filter(({ location }) => location[0] !== "request" || !isRefused);
  if (wrong.length === 0) return response;
  throw new Error(`not as the document says: ${JSON.stringify(wrong)}`);
}
