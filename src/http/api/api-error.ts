/** What the API answers to a call that fails, and to a path that is no call. */
import { CallError } from "../../caller/call.ts";
import { EventsUnreachable } from "../../events/event-reader.ts";
import { spoken } from "../../limit/duration.ts";
import { MisuseError } from "../../limit/misuse.ts";
import { problem } from "../answer/problem.ts";
import { internalError } from "../app.ts";
import { BodyTooLarge } from "./json-body.ts";

export function answerError(error: Error): Response {
  if (error instanceof MisuseError) {
    const { message: detail, field } = error;
    return problem({ status: 400, title: "Not a valid request", detail, field });
  }
  if (error instanceof CallError) {
    const detail = "The owner of the key did not answer. Try again.";
    return problem({ status: 503, title: "Owner out of reach", detail }, { "Retry-After": "1" });
  }
  if (error instanceof EventsUnreachable) {
    const detail = "An object that holds events did not answer. Try again.";
    return problem({ status: 503, title: "Events out of reach", detail }, { "Retry-After": "1" });
  }
  if (error instanceof BodyTooLarge) {
    const detail = `The body must be at most ${error.maxBytes} bytes.`;
    return problem({ status: 413, title: "Body too large", detail });
  }
  return internalError(error);
}

/** @param cause what the client has done */
export function tooMany(cause: string, retryAfterMs: number): Response {
  const detail = `${cause} Try again in ${spoken(retryAfterMs)}.`;
  const headers = { "Retry-After": String(Math.ceil(retryAfterMs / 1_000)) };
  return problem({ status: 429, title: "Too many requests", detail }, headers);
}

/**
 * Answers a path without a call, and each call that needs a variable which is not set.
 *
 * @param missing the name of that variable
 */
export function notFound(missing: string | false): Response {
  const detail = `${missing ? `Without the variable ${missing}, the` : "The"} API has no such call.`;
  return problem({ status: 404, title: "Not found", detail });
}
