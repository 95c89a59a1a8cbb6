/**
 * Errors over HTTP as RFC 9457 problem details. Names no internals: a client sees no stack trace.
 */

export interface Problem {
  status: number;
  title: string;
  /** What is wrong with this request, for a person. */
  detail: string;
  /** A URI from the registry of problem types; absent means the status says it all. */
  type?: string;
  [extension: string]: unknown;
}

/** What a `Response` is made from. */
export type ResponseParts = [body: string, init: { status: number; headers: Headers }];

export function problem(body: Problem, headers?: Record<string, string>): Response {
  return new Response(...problemParts(body, headers));
}

/** @param allow the methods that the call takes */
export function wrongMethod(allow: string): Response {
  const detail = `This call takes ${allow.replace(", ", " and ")}.`;
  return problem({ status: 405, title: "Method not allowed", detail }, { Allow: allow });
}

/** For a problem that is answered again and again. */
export function problemParts(body: Problem, headers?: Record<string, string>): ResponseParts {
  const all = new Headers({
    ...headers,
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
  });
  return [JSON.stringify(body), { status: body.status, headers: all }];
}
