/** The deployed Worker's Hono: small, and with one kind of router. */
import { HonoBase } from "hono/hono-base";
import { PatternRouter } from "hono/router/pattern-router";
import { logSeldom } from "../log.ts";
import { problem } from "./problem.ts";

/** Makes an app with the smallest router: few routes need none that is fast with many. */
export function newApp(): HonoBase {
  return new HonoBase({ router: new PatternRouter() });
}

/** Answers what nobody thought of. Hono would write a line for each such request. */
export function answerMistake(error: Error): Response {
  logSeldom("error", "request-failed", "", { detail: String(error) });
  return problem({ status: 500, title: "Internal error", detail: "This is a mistake of ours." });
}
