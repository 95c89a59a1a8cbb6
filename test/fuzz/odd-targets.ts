/**
 * Targets of requests as someone writes them who looks for a way past a policy.
 *
 * Loose pieces hardly ever reach a route. So each target is built around one: odd segments before
 * it, dots that lead out of them, separators between, and something behind it.
 */
import fc from "fast-check";

/** Policies, and one path that each of them is for. */
export const ROUTES = [
  { pattern: "/login", path: "/login" },
  { pattern: "/api/*", path: "/api/items" },
  { pattern: "/users/:id", path: "/users/ann" },
  { pattern: "/users/:id/mail", path: "/users/ann/mail" },
  { pattern: "/Files/*.pdf", path: "/files/a.pdf" },
] as const;

const SEPARATORS = [
  ...["/", "/", "/", "/", "//", "///", "\\", "%2f", "%2F", "%5c", "%252f", "%255c", "%25252f"],
  ...["%25%32%66", "%c0%af", "%e0%80%af", "%u002f", "%ef%bc%8f", "%ef%bc%bc", "%e2%88%95", ";/"],
  ...[";x/", "/;x/", "%3b/", "/%3b/", "%253b/", ";x%2f", "%2f%2f", "/%2f", "/./", "/%20/", "/%09"],
];

const DOTS = [
  ...["", "", "", "", "..", ".", "%2e%2e", ".%2e", "%2e", "%252e%252e", "..;", "..;x", ".;"],
  ...["..%3b", "..%20", "..%09", "%c0%ae%c0%ae", "%u002e%u002e", "%ef%bc%8e%ef%bc%8e", "..."],
  ...["..%00", "..%253b", "%e2%80%a5", ".%0a."],
];

const SEGMENTS = [
  ...[
    "",
    "",
    "",
    "x",
    "a%5cb",
    "a%252fb",
    "a%ef%bc%8fb",
    "a;b",
    "a;b=c;d",
    "a%3bb",
    "a%2fb",
    "a//b",
  ],
  ...["a%253bb", "a;b%2fc", "a%3fb", "a%23b", ";", ";x", "%", "%zz", "%ff", "%c3%a9", "a.", "a%20"],
  ...[
    "login",
    "api",
    "users",
    "login;",
    "assets",
    "assets;",
    "..a",
    "a%0ab",
    "@x",
    "x:80",
    "x@y:z",
    "[",
    "*",
    "+",
    "~",
  ],
];

const STARTS = ["//", "/\\", "/%2f", "/%5c", "/;/", "/.//", "//x/", "///x/"];

const SUFFIXES = [
  ...["", "", "", "", "/", "//", "/.", "/x/..", "/%2e", ";", ";x", ";x%2fy", ";/x", ";/x/y", "%3b"],
  ...["%3bx%2fy", "%3b/x", "%253bx%252fy", ";%2f..%2f..%2ffoo", "%2f", "%5c", "\\", "%252f", "%20"],
  ...["%20/", ".", "..", "%2e", "%00", "%00x", "%3f", "%3fx", "%3f/x", "%253fx/y", "%23", "%23/x"],
  ...["?", "?x", "?/x", "#x", "%0a", "%09", "%0d%0a", "%c2%a0", "%e3%80%80", ";.css", "%3f.css"],
  ...["%2f.css", ".css", "/x.css", "%ef%bc%8f", "%ef%bc%9b", "%u003b", "%c0%bb", "%01", "/;/;x"],
];

/** Ways to write the letters of a route. */
const LETTERS: readonly ((letter: string) => string)[] = [
  (letter) => letter.toUpperCase(),
  (letter) => `%${hex(letter)}`,
  (letter) => `%25${hex(letter)}`,
  (letter) => `%2525${hex(letter)}`,
  (letter) => `%u00${hex(letter)}`,
  // Wide letters lie at one distance from the narrow ones.
  (letter) => encodeURIComponent(String.fromCodePoint(letter.charCodeAt(0) + 0xfee0)),
  (letter) => `%0a${letter}`,
];

function hex(letter: string): string {
  return letter.charCodeAt(0).toString(16);
}

const before = fc.tuple(
  fc.constantFrom(...SEGMENTS),
  fc.constantFrom(...SEPARATORS),
  fc.constantFrom(...DOTS),
  fc.constantFrom(...SEPARATORS),
);

const letter = fc.tuple(fc.nat({ max: 30 }), fc.constantFrom(...LETTERS));

/** Ways to write a path, without its first slash. */
function written(paths: readonly string[]): fc.Arbitrary<string> {
  const separators = fc.oneof(
    { arbitrary: fc.constant("/"), weight: 2 },
    { arbitrary: fc.constantFrom(...SEPARATORS), weight: 1 },
  );
  const changed = fc.oneof(
    { arbitrary: fc.constant([]), weight: 2 },
    { arbitrary: fc.array(letter, { maxLength: 2 }), weight: 1 },
  );
  return fc
    .tuple(fc.constantFrom(...paths), separators, changed)
    .map(([path, separator, changes]) => {
      const letters: string[] = [...path.slice(1)];
      for (const [at, write] of changes) {
        const index = at % letters.length;
        const letter = letters[index] as string;
        if (/^[a-z]$/.test(letter)) letters[index] = write(letter);
      }
      return letters.map((letter) => (letter === "/" ? separator : letter)).join("");
    });
}

const starts = fc.constantFrom(...["/", "/", "/", "/"], ...STARTS);

/** The odder a target is, the fewer routes it reaches. */
const lead = fc.oneof(
  { arbitrary: fc.constant([]), weight: 2 },
  { arbitrary: fc.tuple(before), weight: 3 },
  { arbitrary: fc.tuple(before, before), weight: 1 },
);

const suffix = fc.constantFrom(...SUFFIXES);
const tail = fc.oneof(
  { arbitrary: fc.tuple(suffix), weight: 3 },
  { arbitrary: fc.tuple(suffix, suffix), weight: 1 },
);

/** Targets around paths, as they stand in a request line; some have a query. */
export function oddTargetsTo(paths: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(starts, lead, written(paths), tail)
    .map(([start, segments, path, suffixes]) =>
      [start, ...segments.flat(), path, ...suffixes].join(""),
    );
}

export const oddTargets = oddTargetsTo(ROUTES.map(({ path }) => path));
