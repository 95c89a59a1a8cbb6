/**
 * `POST purge`: forgets what the cache of an app keeps. An app that has a cache mounts it; the
 * gateway keeps nothing, so its API has no such call.
 */
import type { HonoBase } from "hono/hono-base";
import * as v from "valibot";
import { MisuseError, parse } from "../../limit/misuse.ts";
import { parseUrl } from "../../limit/url.ts";
import { logSeldom } from "../../log.ts";
import { problem, wrongMethod } from "../answer/problem.ts";
import { newApp } from "../app.ts";
import { answerError, notFound } from "./api-error.ts";
import { type Authorize, requireScope } from "./authorization.ts";
import { jsonBody } from "./json-body.ts";

/** What the call needs of a cache. */
export interface Purges {
  purge(key: string): Promise<void>;
  purgeUrl(url: string): Promise<void>;
  purgeTag(tag: string): Promise<void>;
}

const MAX_CHARS = 1_024;
const textRule = `must be text of 1 to ${MAX_CHARS} characters`;
const nameSchema = v.pipe(
  v.string(textRule),
  v.minLength(1, textRule),
  v.maxLength(MAX_CHARS, textRule),
);
const urlRule = 'must be a whole URL such as "https://example.com/search?q=zug"';

/** A body has exactly one of these fields. */
export const purgeSchema = v.strictObject(
  {
    key: v.optional(nameSchema),
    url: v.optional(
      v.pipe(
        v.string(urlRule),
        v.check((text) => parseUrl(text) !== null, urlRule),
      ),
    ),
    tag: v.optional(nameSchema),
  },
  "must be an object",
);

/** @param isOpen whether any token is set; without one the API has no calls */
export function purgeApi(authorized: Authorize, isOpen: boolean, cache: Purges): HonoBase {
  const app = newApp();
  app.onError(answerError);
  if (isOpen) {
    app.use(authorized, requireScope("admin"));
    app.post("/purge", async (c) => {
      const purge = readPurge(await jsonBody(c));
      try {
        await purge(cache);
        return c.body(null, 204);
      } catch (error) {
        return notPurged(error);
      }
    });
    app.all("/purge", () => wrongMethod("POST"));
  }
  app.all("*", () => notFound(!isOpen && "TOKEN"));
  return app;
}

/** @throws {MisuseError} naming the field, the rule and the value */
function readPurge(body: unknown): (cache: Purges) => Promise<void> {
  const { key, url, tag } = parse(purgeSchema, body);
  const [first, second] = Object.entries({ key, url, tag }).filter(([, value]) => value);
  if (!first) throw new MisuseError("key", "is required, or url or tag", undefined);
  if (second) throw new MisuseError(second[0], `can't stand beside ${first[0]}`, second[1]);
  if (key) return (cache) => cache.purge(key);
  if (url) return (cache) => cache.purgeUrl(url);
  return (cache) => cache.purgeTag(tag as string);
}

function notPurged(error: unknown): Response {
  if (error instanceof MisuseError) {
    // The body is right, so the Worker has no cache.
    return problem({ status: 501, title: "No cache here", detail: error.message });
  }
  logSeldom("warn", "purge-failed", "", { detail: String(error) });
  const detail = "An owner of the cache did not answer. Others may have forgotten. Try again.";
  return problem({ status: 503, title: "Owner out of reach", detail }, { "Retry-After": "1" });
}
