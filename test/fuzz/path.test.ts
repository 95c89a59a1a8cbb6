import "./runs.ts";
import fc from "fast-check";
import type { Context } from "hono";
import { describe, expect, it } from "vitest";
import { routeTo } from "../../src/http/gateway/gateway.ts";
import { fold, isReserved, readingsOf } from "../../src/http/match/path.ts";
import { PathPattern } from "../../src/http/match/path-pattern.ts";
import { decodeSegments } from "../../src/http/match/percent.ts";
import { RuleMatcher } from "../../src/http/match/rule-matcher.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { oddTargets, oddTargetsTo } from "./odd-targets.ts";

/** The context of a GET that has no headers. */
function asking(url: string): Context {
  return { req: { url, method: "GET", raw: { headers: new Headers() } } } as unknown as Context;
}

const ODD = [
  ..."/\\.;?#%&=@:*+~_ \t\n\0éK＿／",
  ...["//", "..", "/../", "/./", "%2f", "%2F", "%5c", "%2e", "%252e", "%3b", "%00", "%ff"],
  ...["%c3%a9", "%c0%af", "login", "LOGIN", "lo", "gin", "%6c", "%256c", "_turnpike", "__proto__"],
];

const urls = fc
  .array(fc.oneof(fc.constantFrom(...ODD), fc.string({ unit: "binary", maxLength: 4 })), {
    maxLength: 12,
  })
  .map((parts) => `https://gate.example/${parts.join("")}`);

/** Ways to write one path that leave it, for some origin, the same. */
const SPELLINGS: ((path: string, at: number) => string)[] = [
  (path, at) => encodeAt(path, at, 1),
  (path, at) => encodeAt(path, at, 2),
  (path, at) => path.slice(0, at) + path.slice(at).toUpperCase(),
  (path) => path.replace("/", "//"),
  (path) => path.replace("/", "/./"),
  (path) => path.replace("/", "/x/../"),
  (path) => path.replace("/", "/%2e/"),
  (path) => path.replace("/", "\\"),
  (path) => path.replace("/", "/x%2f..%2f"),
  (path) => `${path}/`,
  (path) => `${path}%2f`,
  (path) => `${path};v=1`,
  (path) => `${path}%00`,
];

function encodeAt(path: string, at: number, times: number): string {
  const index = 1 + (at % (path.length - 1));
  // What is encoded already is left alone.
  if (/[%/\\]/.test(path.slice(Math.max(0, index - 4), index + 1))) return path;
  const code = path.charCodeAt(index).toString(16).padStart(2, "0");
  return `${path.slice(0, index)}%${"25".repeat(times - 1)}${code}${path.slice(index + 1)}`;
}

function spelled(path: string, ways: readonly (readonly [number, number])[]): string {
  return ways.reduce(
    (text, [way, at]) => SPELLINGS[way % SPELLINGS.length]?.(text, at) ?? "",
    path,
  );
}

const ways = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 20 })), { maxLength: 3 });

/** What origins are known to do with a path, each written without a look at the gate's own steps. */
const HABITS: ((path: string) => string)[] = [
  decoded,
  (path) =>
    path
      .split("/")
      .map((segment) => segment.split(";")[0])
      .join("/"),
  (path) => path.split(";")[0] as string,
  (path) => path.split(/[?#]/)[0] as string,
  (path) => path.split("\\").join("/"),
  (path) => path.normalize("NFKC"),
  (path) =>
    path
      .split("/")
      .map((segment) => segment.trimEnd())
      .join("/"),
  (path) =>
    path
      .split("/")
      .map((segment) => decoded(segment).replaceAll("/", "%2f"))
      .join("/"),
  (path) =>
    `/${path
      .split("/")
      .filter((segment) => segment !== "")
      .join("/")}`,
  (path) => URL.parse(path, "http://origin.example")?.pathname ?? "",
];

function decoded(path: string): string {
  return path.replace(/(?:%[\da-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}

function resolved(path: string): string {
  const segments: string[] = [];
  for (const segment of path.toLowerCase().split("/").slice(1)) {
    if (segment === "..") segments.pop();
    else if (segment !== ".") segments.push(segment);
  }
  return `/${segments.join("/")}`;
}

/** Returns the path that an origin with these habits takes from a URL; empty where it fails. */
function seenBy(chain: readonly ((path: string) => string)[], url: string): string {
  let path = new URL(url).pathname;
  for (const habit of chain) {
    path = habit(path);
    if (path === "") return "";
  }
  return resolved(path);
}

const habits = fc
  .array(fc.nat({ max: HABITS.length - 1 }), { maxLength: 6 })
  .filter((chosen) => chosen.filter((habit) => habit === 0).length <= 3)
  .map((chosen) => chosen.map((habit) => HABITS[habit] as (path: string) => string));

function asPattern(pattern: string): RegExp {
  const segments = pattern
    .replace(/^\*\./, "/[^]*[.]")
    .replace(/\/\*$/, "(?:/[^]*)?")
    .replace(/\/(?:\*|:\w+)(?=\/)/g, "/[^/]*")
    .replace(/\/:\w+$/g, "/[^/]*");
  return new RegExp(`^${segments === "/" ? "/?" : segments}$`);
}

describe("any path", () => {
  it("has readings in one form, or is refused", () => {
    fc.assert(
      fc.property(urls, (url) => {
        expect(typeof isReserved(url)).toBe("boolean");
        const readings = readingsOf(url) ?? [];
        expect(readings.length).toBeLessThanOrEqual(128);
        expect(new Set(readings).size).toBe(readings.length);
        for (const path of readings) {
          expect(path).toMatch(/^(?:\/|$)/);
          expect(path).toBe(fold(path));
          expect(path).not.toMatch(/[/\\]\.\.?(?:[/\\;]|$)|\0/);
        }
      }),
    );
  });

  it("is read in every way in which an origin may read it", () => {
    const book = new RuleMatcher(
      ["/login", "/api/*", "/users/:id", "/users/:id/x"].map((path) => ({
        policy: parsePolicy({ limit: 1, window: "1s", path }),
      })),
    );
    fc.assert(
      fc.property(oddTargets, habits, (target, chain) => {
        const url = `https://gate.example${target}`;
        const met = book.match(asking(url));
        if (!met) return;
        const seen = seenBy(chain, url);
        const names = met.map(({ policy }) => policy.path);
        if (/^\/login\/?$/.test(seen)) expect(names).toContain("/login");
        if (/^\/api(?:\/|$)/.test(seen)) expect(names).toContain("/api/*");
        if (/^\/users\/[^/]+\/?$/.test(seen)) expect(names).toContain("/users/:id");
        if (/^\/users\/[^/]*\/x\/?$/.test(seen)) expect(names).toContain("/users/:id/x");
      }),
    );
  });

  it("meets the policies whose patterns fit it, each once", () => {
    const rules = ["/*", "/", "/login", "/login/*", "/:a", "/*/b", "/a/:b/c", "/é/*", "*.css"].map(
      (path) => ({ policy: parsePolicy({ limit: 1, window: "1s", path }) }),
    );
    const book = new RuleMatcher(rules);
    const segments = fc.array(
      fc.constantFrom("a", "b", "c", "login", "é", "*", ":a", "x%2fb", "", "x.css", ".css"),
    );
    const paths = fc.oneof(
      urls,
      segments.map((parts) => `https://gate.example/${parts.join("/")}`),
    );
    fc.assert(
      fc.property(paths, (url) => {
        const readings = readingsOf(url);
        const fitting = rules.filter(({ policy }) =>
          readings?.some((path) => asPattern(policy.path).test(path)),
        );
        const met = book.match(asking(url));
        expect(met).toEqual(readings && fitting);
      }),
    );
  });

  it("counts under each value that an origin may read, if a key names a part of it", () => {
    const pattern = new PathPattern("/users/:id/mail");
    fc.assert(
      fc.property(oddTargetsTo(["/users/ann/mail"]), habits, (target, chain) => {
        const url = `https://gate.example${target}`;
        const readings = readingsOf(url);
        if (!readings) return;
        const seen = seenBy(chain, url);
        const [, id] = /^\/users\/([^/]*)\/mail\/?$/.exec(seen) ?? [];
        if (id === undefined) return;
        const counted = readings.map((reading) => pattern.valueOf("id", reading));
        expect(counted).toContain(fold(decodeSegments(id)));
      }),
    );
  });

  it("is excepted only if any origin may read it as such", () => {
    const policy = parsePolicy({ limit: 1, window: "1s", except: ["/assets/*", "*.css"] });
    const book = new RuleMatcher([{ policy }]);
    const targets = oddTargetsTo(["/assets/a", "/assets/a/b.js", "/a/b.css", "/login"]);
    fc.assert(
      fc.property(targets, habits, (target, chain) => {
        const url = `https://gate.example${target}`;
        if (book.match(asking(url))?.length !== 0) return;
        const seen = seenBy(chain, url);
        if (seen === "") return;
        // Letters mean the same in any case and encoding.
        expect(fold(decodeSegments(seen))).toMatch(/^\/assets(?:\/|$)|\.css\/?$/);
      }),
    );
  });

  it("goes to the origin, below its own path", () => {
    const origin = "https://origin.example:8443";
    fc.assert(
      fc.property(urls, fc.constantFrom("", "/", "/base", "/base/"), (url, base) => {
        const target = routeTo(`${origin}${base}`).urlFor(new URL(url));
        const { pathname } = new URL(url);
        expect(target.origin).toBe(origin);
        expect(target.pathname).toBe(`${base.replace(/\/$/, "")}${pathname}`);
      }),
    );
  });
});

describe("a path written in other ways", () => {
  it("meets the same policy", () => {
    fc.assert(
      fc.property(fc.constantFrom("/login", "/api/v1/users"), ways, (path, chosen) => {
        const url = `https://gate.example${spelled(path, chosen)}`;
        // Dots take the empty segment before them away, and the path that is forwarded is another.
        fc.pre(!/[/\\]{2}\.\./.test(url));
        expect(readingsOf(url) ?? [path], url).toContain(path);
      }),
    );
  });

  it("is never forwarded if any origin may read it as the API's", () => {
    fc.assert(
      fc.property(oddTargetsTo(["/_turnpike/v1/check"]), habits, (target, chain) => {
        const url = `https://gate.example${target}`;
        const seen = seenBy(chain, url);
        if (!seen.includes("_turnpike")) return;
        expect(isReserved(url) || !readingsOf(url), url).toBe(true);
      }),
    );
  });

  it("is never forwarded if it spells a path of the API", () => {
    fc.assert(
      fc.property(ways, (chosen) => {
        const url = `https://gate.example${spelled("/_turnpike/v1/check", chosen)}`;
        expect(isReserved(url), url).toBe(true);
      }),
    );
  });
});
