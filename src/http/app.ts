/** The deployed Worker's Hono: small, and with one kind of router. */
import { HonoBase } from "hono/hono-base";
import { TrieRouter } from "hono/router/trie-router";
import { logSeldom } from "../log.ts";
import { problem } from "./problem.ts";

/** Makes an app whose paths are matched as those of policies are; a second kind would be 1 KB more. */
export function newApp(): HonoBase {
  return new HonoBase({ router: new TrieRouter() });
}

/** Answers what nobody thought of. Hono would write a line for each such request. */
export function answerMistake(error: Error): Response {
  logSeldom("error", "request-failed", "", { detail: String(error) });
  return problem({ status: 500, title: "Internal error", detail: "This is a mistake of ours." });
}
