/**
 * The API under `/_turnpike/v1`: the verbs over HTTP, for whoever holds the token.
 *
 * Reads a body whole before it asks anything, so a mistake anywhere in it leaves all counters as
 * they are. A denial is an answer here, 200, and not an error.
 */
import { type Context, Hono } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { CallError } from "../caller/call.ts";
import type { Caller } from "../caller/caller.ts";
import type { Config } from "../config.ts";
import { type Decision, decisive } from "../limit/decision.ts";
import { MisuseError } from "../limit/misuse.ts";
import { regionOf } from "../ring/region.ts";
import { readQuestions } from "./api-body.ts";
import { problem } from "./problem.ts";

const MAX_BODY_BYTES = 65_536;

/** Makes the app that answers below the path where it is mounted; without a token, that is nothing. */
export function api(caller: Caller, config: Config): Hono {
  const app = new Hono();
  app.notFound(() =>
    problem({ status: 404, title: "Not found", detail: "There is no such call." }),
  );
  app.onError(answerError);
  if (config.token === "") return app;

  app.use(bearerAuth({ token: config.token }));
  app.use(bodyLimit({ maxSize: MAX_BODY_BYTES, onError: tooLarge }));
  app.post("/check", async (c) => {
    const { questions, many } = await read(c);
    return answer(c, await caller.check(questions), many);
  });
  app.post("/peek", async (c) => {
    const { questions, many } = await read(c);
    return answer(c, await caller.peek(questions), many);
  });
  app.post("/reset", async (c) => {
    const { questions } = await read(c);
    await caller.reset(questions);
    return c.body(null, 204);
  });
  return app;

  async function read(c: Context) {
    const region = regionOf(c.req.raw.cf as IncomingRequestCfProperties, config.homeRegion);
    return readQuestions(await json(c), config.policies, region);
  }
}

async function json(c: Context): Promise<unknown> {
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new MisuseError("", "must be JSON", text);
  }
}

function answer(c: Context, decisions: readonly (readonly Decision[])[], many: boolean): Response {
  const decided = decisions.map(decisive);
  return c.json(many ? { decisions: decided } : decided[0]);
}

function answerError(error: Error): Response {
  if (error instanceof MisuseError) {
    const { message: detail, field } = error;
    return problem({ status: 400, title: "Not a valid request", detail, field });
  }
  if (error instanceof HTTPException) {
    const challenge = error.getResponse().headers.get("WWW-Authenticate") ?? "Bearer";
    const detail = "The header Authorization must be Bearer and the token.";
    return problem(
      { status: 401, title: "Not authorized", detail },
      { "WWW-Authenticate": challenge },
    );
  }
  if (error instanceof CallError) {
    const detail = "The owner of the key did not answer. Try again.";
    return problem({ status: 503, title: "Owner out of reach", detail }, { "Retry-After": "1" });
  }
  console.error(JSON.stringify({ event: "api-failed", detail: String(error) }));
  return problem({ status: 500, title: "Internal error", detail: "This is a mistake of ours." });
}

function tooLarge(): Response {
  const detail = `The body must be at most ${MAX_BODY_BYTES} bytes.`;
  return problem({ status: 413, title: "Body too large", detail });
}
