/**
 * Readers written after the rules of servers that no npm package brings: Tomcat, Jetty, IIS, and
 * those of Python, PHP, Go, Ruby and Java frameworks. Each takes a target to a path, in the order
 * of steps that its own source or documentation has.
 */
import { inProcess, type Reached, type Reader } from "./reader.ts";

const EXACT: readonly [RegExp, string][] = [
  [/^\/login$/, "/login"],
  [/^\/api(?:\/|$)/, "/api/*"],
  [/^\/users\/[^/]+$/, "/users/:id"],
  [/^\/users\/[^/]*\/mail$/, "/users/:id/mail"],
  [/^\/files\/.*\.pdf$/s, "/Files/*.pdf"],
];

/** The same for those that take a slash at the end for none, or do not tell cases apart. */
const RELAXED = EXACT.map(
  ([{ source, flags }, route]) =>
    [new RegExp(source.replace(/\$$/, "\\/?$"), `${flags}i`), route] as [RegExp, string],
);

export function servers(): Reader[] {
  return [
    reader("Tomcat", EXACT, (target) => normalized(slashes(decoded(withoutParameters(target))))),
    reader("Tomcat, %2F decoded", EXACT, (target) =>
      normalized(slashes(decoded(withoutParameters(target)).replaceAll("\\", "/"))),
    ),
    reader("Jetty", EXACT, (target) => normalized(jettyDecoded(target))),
    reader("Jetty, compact paths", EXACT, (target) => normalized(slashes(jettyDecoded(target)))),
    reader("Spring, path patterns", EXACT, (target) =>
      target
        .split("/")
        .map((segment) => decoded(segment.split(";")[0] as string).replaceAll("/", "%2F"))
        .join("/"),
    ),
    reader("IIS", RELAXED, (target) => iis(target)),
    reader("IIS, decoded twice", RELAXED, (target) => iis(decoded(target))),
    reader("Python, http.server", EXACT, (target) =>
      normalized(slashes(decoded(target.split(/[?#]/)[0] as string))).replace(/(?<=.)\/$/, ""),
    ),
    reader("Python, urlparse and unquote", EXACT, (target) => decoded(urlparse(target))),
    reader("Python, unquote and urlparse", EXACT, (target) => urlparse(decoded(target))),
    reader("Python, Latin-1", EXACT, (target) => latin1(target)),
    reader("PHP, rawurldecode", RELAXED, (target) => decoded(target).split(/[?#]/)[0] as string),
    reader("PHP, parse_url", RELAXED, (target) => decoded(target.replace(/^\/\/[^/]*/, ""))),
    reader("Go, ServeMux", EXACT, (target) => normalized(slashes(decoded(target)))),
    reader("Ruby, Rails", RELAXED, (target) => slashes(decoded(target)).split(";")[0] as string),
    reader("ASP.NET Core", RELAXED, (target) => withoutEnds(decodedButSlash(target))),
    reader("a proxy that decodes, then Tomcat", EXACT, (target) =>
      normalized(slashes(decoded(withoutParameters(slashes(normalized(decoded(target))))))),
    ),
    reader("a proxy that decodes, then new URL", EXACT, (target) =>
      decoded(new URL(normalized(decoded(target)), "http://origin.example").pathname),
    ),
    reader("three that decode", EXACT, (target) =>
      normalized(slashes(decoded(normalized(decoded(normalized(decoded(target))))))),
    ),
    reader("NFKC behind a decoder", RELAXED, (target) =>
      normalized(slashes(decoded(target).normalize("NFKC"))),
    ),
  ];
}

function reader(
  name: string,
  routes: readonly [RegExp, string][],
  pathOf: (target: string) => string,
): Reader {
  return inProcess(name, (target): Reached => {
    const path = pathOf(target.split("?")[0] as string);
    return routes.find(([pattern]) => pattern.test(path))?.[1];
  });
}

/** RFC 3986, section 5.2.4, and nothing above the root. */
function normalized(path: string): string {
  const segments: string[] = [];
  const all = path.split("/").slice(1);
  for (const segment of all) {
    if (segment === "..") segments.pop();
    else if (segment !== ".") segments.push(segment);
  }
  if (/^\.\.?$/.test(all.at(-1) ?? "")) segments.push("");
  return `/${segments.join("/")}`;
}

function slashes(path: string): string {
  return path.replace(/\/+/g, "/");
}

function withoutParameters(path: string): string {
  return path.replace(/;[^/]*/g, "");
}

/** UTF-8 once; what is none becomes U+FFFD, as most servers have it. */
function decoded(path: string): string {
  const bytes = path.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  // Letters beyond a byte were decoded before.
  if (/[^\0-\xff]/.test(bytes)) return bytes;
  return Buffer.from(bytes, "latin1").toString("utf8");
}

function decodedButSlash(path: string): string {
  return path.split(/%2f/i).map(decoded).join("%2F");
}

function latin1(path: string): string {
  return path.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** `URIUtil.decodePath`: one pass, parameters out, `%uXXXX` known. */
function jettyDecoded(path: string): string {
  return withoutParameters(path)
    .split(/(%u[\da-f]{4})/i)
    .map((part) =>
      /^%u/i.test(part) ? String.fromCharCode(Number.parseInt(part.slice(2), 16)) : decoded(part),
    )
    .join("");
}

/** http.sys and Windows: `%u`, best fit to narrow letters, backslashes, ends of names. */
function iis(path: string): string {
  const text = path
    .split(/(%u[\da-f]{4})/i)
    .map((part) =>
      /^%u/i.test(part) ? String.fromCharCode(Number.parseInt(part.slice(2), 16)) : decoded(part),
    )
    .join("")
    .normalize("NFKC")
    .replaceAll("\\", "/");
  return withoutEnds(normalized(slashes(text)));
}

function withoutEnds(path: string): string {
  return path
    .split("/")
    .map((segment) => segment.replace(/[. ]+$/, ""))
    .join("/");
}

/** `urllib.parse.urlparse`: tabs and line ends out, `//host`, parameters of the last segment. */
function urlparse(target: string): string {
  const path = target
    .replace(/[\t\r\n]/g, "")
    .replace(/^\/\/[^/?#]*/, "")
    .split(/[?#]/)[0] as string;
  return path.replace(/;[^/]*$/, "");
}
