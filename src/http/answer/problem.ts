/**
 * Errors over HTTP as RFC 9457 problem details. A client sees no stack trace and no internals.
 */

export interface Problem {
  status: number;
  title: string;
  /** What is wrong with this request, for a person. */
  detail: string;
  /** A URI from IANA's registry of problem types; absent if the status says enough. */
  type?: string;
  [extension: string]: unknown;
}

/** The arguments of `new Response`. */
export type ResponseParts = [body: string, init: { status: number; headers: Headers }];

export function problem(body: Problem, headers?: Record<string, string>): Response {
  return new Response(...problemParts(body, headers));
}

/** @param allow the methods that the call takes */
export function wrongMethod(allow: string): Response {
  const detail = `This call takes ${allow.replace(/, (?=\w+$)/, " and ")}.`;
  return problem({ status: 405, title: "Method not allowed", detail }, { Allow: allow });
}

/** Returns what a problem's response is made from, to make it several times. */
export function problemParts(body: Problem, headers?: Record<string, string>): ResponseParts {
  const all = new Headers({
    ...headers,
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
  });
  return [JSON.stringify(body), { status: body.status, headers: all }];
}
