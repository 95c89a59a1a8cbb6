import "./runs.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { routeTo } from "../../src/http/gateway.ts";
import { couldBeOwn, pathsOf } from "../../src/http/path.ts";
import { RuleBook } from "../../src/http/rules.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

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

/** What nginx matches its locations with: decoded once, then resolved. */
function asNginx(url: string): string | undefined {
  try {
    const path = decodeURIComponent(new URL(url).pathname);
    const parts: string[] = [];
    for (const part of path.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    return `/${parts.join("/")}`;
  } catch {
    return undefined;
  }
}

/** What Express matches its routes with: split, then decoded, in any case. */
function asExpress(url: string): string[] | undefined {
  try {
    const { pathname } = new URL(url);
    return pathname.replace(/\/$/, "").slice(1).split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function asPattern(pattern: string): RegExp {
  const segments = pattern
    .replace(/\/\*$/, "(?:/[^]*)?")
    .replace(/\/(?:\*|:\w+)(?=\/|$)/g, "/[^/]+");
  return new RegExp(`^${segments}$`);
}

describe("any path", () => {
  it("has one or two readings, in one form", () => {
    fc.assert(
      fc.property(urls, (url) => {
        const readings = pathsOf(url);
        expect([1, 2]).toContain(readings.length);
        expect(typeof couldBeOwn(url)).toBe("boolean");
        for (const path of readings) {
          expect(path).toMatch(/^\/(?:[^/]+(?:\/[^/]+)*)?$/);
          expect(path).toBe(path.toLowerCase());
          expect(path).not.toMatch(/(?:^|\/)\.\.?(?:\/|$)/);
        }
      }),
    );
  });

  it("meets the policy that an origin's own reading would meet", () => {
    fc.assert(
      fc.property(urls, (url) => {
        const readings = pathsOf(url);
        const decoded = asNginx(url);
        if (decoded === "/login") expect(readings).toContain("/login");
        const [first = "", ...rest] = asExpress(url) ?? [];
        if (first.toLowerCase() !== "login") return;
        const isUnder = readings.some((path) => /^\/login(?:$|\/|%2f)/.test(path));
        expect(isUnder, readings.join(" ")).toBe(true);
        if (rest.length === 0) expect(readings).toContain("/login");
      }),
    );
  });

  it("meets the policies whose patterns fit it, each once", () => {
    const rules = ["/*", "/", "/login", "/login/*", "/:a", "/*/b", "/a/:b/c", "/é/*"].map(
      (path) => ({ policy: parsePolicy({ limit: 1, window: "1s", path }) }),
    );
    const book = new RuleBook(rules);
    const segments = fc.array(fc.constantFrom("a", "b", "c", "login", "é", "*", ":a", "x%2fb", ""));
    const paths = fc.oneof(
      urls,
      segments.map((parts) => `https://gate.example/${parts.join("/")}`),
    );
    fc.assert(
      fc.property(paths, (url) => {
        const readings = pathsOf(url);
        const fitting = rules.filter(({ policy }) =>
          readings.some((path) => asPattern(policy.path).test(path)),
        );
        expect(book.match({ req: { url, method: "GET" } } as never)).toEqual(fitting);
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
        expect(pathsOf(url), url).toContain(path);
      }),
    );
  });

  it("is the API's or nobody's, if it was", () => {
    fc.assert(
      fc.property(ways, (chosen) => {
        const url = `https://gate.example${spelled("/_turnpike/v1/check", chosen)}`;
        expect(couldBeOwn(url), url).toBe(true);
      }),
    );
  });
});
