/** Asks real origins how they read odd targets: none may reach a route past the policy for it. */
import "./runs.ts";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { RuleMatcher } from "../../src/http/match/rule-matcher.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { frameworks } from "../readers/frameworks.ts";
import { nginx } from "../readers/nginx.ts";
import type { Reached, Reader } from "../readers/reader.ts";
import { servers } from "../readers/servers.ts";
import { oddTargets, ROUTES } from "./odd-targets.ts";

/** Fewer find too little: most odd targets reach no route of most origins. */
const MIN_TARGETS = 2_000;
const GATE = "https://gate.example";
/** How many of those that got past are shown. */
const SHOWN = 20;

const targets = Math.max(MIN_TARGETS, inject("fuzzRuns"));

/** What the gate passes on of a target: a path as the URL standard writes it. */
const forwarded: { target: string; path: string }[] = [];
let readers: Reader[] = [];
const reached = new Map<string, Reached[]>();

beforeAll(async () => {
  const own = await frameworks();
  const behind = own.filter(({ name }) => /^(?:Express|Fastify) 4$/.test(name));
  readers = [...own, ...servers(), ...(await nginx(behind))];
  for (const target of fc.sample(oddTargets, targets)) {
    const { pathname, search } = new URL(`${GATE}${target}`);
    forwarded.push({ target, path: pathname + search });
  }
  const paths = forwarded.map(({ path }) => path);
  for (const reader of readers) reached.set(reader.name, await reader.read(paths));
});

afterAll(() => Promise.all(readers.map((reader) => reader.close?.())));

function bookOf(...policies: object[]): RuleMatcher {
  return new RuleMatcher(
    policies.map((policy) => ({ policy: parsePolicy({ limit: 1, window: "1s", ...policy }) })),
  );
}

/** Returns what a book says of each target: the paths of the policies that are met. */
function judged(book: RuleMatcher): (string[] | undefined)[] {
  return forwarded.map(({ target }) =>
    book
      .match({
        req: { url: `${GATE}${target}`, method: "GET", raw: { headers: new Headers() } },
      } as never)
      ?.map(({ policy }) => policy.path),
  );
}

describe("an odd target", () => {
  it("reaches no origin's route past the policy for it", () => {
    const met = judged(bookOf(...ROUTES.map(({ pattern }) => ({ path: pattern }))));
    const past = found((at, route) => met[at] !== undefined && !met[at].includes(route));
    expect(past).toEqual([]);
  });

  it("reaches no origin's route by way of an exception", () => {
    const met = judged(bookOf({ except: ["/assets/*", "*.css"] }));
    const past = found(
      (at, route) => met[at]?.length === 0 && ["/login", "/users/:id/mail"].includes(route),
    );
    expect(past).toEqual([]);
  });

  it("reaches routes at all, and is not mostly refused", () => {
    for (const { name } of readers) {
      expect(reached.get(name)?.filter(Boolean).length, name).toBeGreaterThan(0);
    }
    const refused = judged(bookOf({ path: "/login" })).filter((paths) => !paths).length;
    expect(refused).toBeLessThan(targets * 0.9);
  });
});

/** Returns the first targets for which an origin's route is past, with what each origin lets by. */
function found(isPast: (at: number, route: string) => boolean): string[] {
  const all: string[] = [];
  for (const [name, routes] of reached) {
    for (const [at, route] of routes.entries()) {
      if (route && isPast(at, route)) all.push(`${name}: ${forwarded[at]?.target} is ${route}`);
    }
  }
  return all.slice(0, SHOWN);
}
