/** An app under `mode: "alongside"`, whose owner answers when a test lets it. */
import { Hono } from "hono";
import { Caller } from "../../src/caller/caller.ts";
import { enforce, type RateLimitEnv } from "../../src/http/rate-limit.ts";
import { parseRule, type RateLimitOptions } from "../../src/http/rules.ts";
import { parseLimiterConfig } from "../../src/limiter-config.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";

/** Owners that answer checks once `answer` is called, or at once while `isNear`. */
export class FarOwners extends FakeOwners {
  isNear = false;
  #isSpent = false;
  #asked = Promise.withResolvers<void>();
  #answers: (() => void)[] = [];

  override getByName(...args: Parameters<FakeOwners["getByName"]>) {
    const stub = super.getByName(...args);
    const check: typeof stub.check = async (batch) => {
      if (this.#isSpent) await stub.check(batch);
      const answer = await stub.check(batch);
      if (this.isNear) return answer;
      await new Promise<void>((resolve) => {
        this.#answers.push(resolve);
        this.#asked.resolve();
      });
      return answer;
    };
    return { ...stub, check };
  }

  /** Has every key spend all it has before its first check is counted. */
  spend(): void {
    this.#isSpent = true;
  }

  /** Waits until a check is on its way, and answers it. */
  async answer(): Promise<void> {
    await this.#asked.promise;
    this.#asked = Promise.withResolvers();
    for (const answer of this.#answers.splice(0)) answer();
  }
}

/** Returns an app with a limiter, its owners, and how to ask it. */
export function alongsideApp(...policies: Partial<RateLimitOptions>[]) {
  const owners = new FarOwners();
  const config = parseLimiterConfig({ DEADLINE: "10s" });
  const caller = new Caller({ owners, runtime: WORKERS, ...config });
  const rules = (policies.length > 0 ? policies : [{}]).map((policy) =>
    parseRule({ limit: 1, window: "1h", mode: "alongside", ...policy }),
  );
  const limiter = enforce(rules, caller, config);
  const app = new Hono<RateLimitEnv>();
  const send = (path = "/", init: RequestInit = {}) => {
    const headers = { "CF-Connecting-IP": "192.0.2.1", ...(init.headers as object) };
    return Promise.resolve(app.request(path, { ...init, headers }));
  };
  return { app, limiter, owners, send };
}
