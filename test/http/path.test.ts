/** Every way in which a path is read, and which policies it meets. */
import { describe, expect, it } from "vitest";
import { isReserved, readingsOf } from "../../src/http/match/path.ts";
import type { RateLimitOptions } from "../../src/index.ts";
import { appWith, SITE } from "./path-app.ts";

describe("a path", () => {
  it.each([
    ["/", [""]],
    ["/a/B/", ["/a/b"]],
    ["/a/b.c", ["/a/b.c"]],
    ["/.well-known/x", ["/.well-known/x"]],
    ["/%6cogin", ["/login"]],
    ["/caf%C3%A9%20x", ["/café x"]],
    ["/cafe%CC%81", ["/cafe\u0301", "/café"]],
    ["/a%2Fb", ["/a%2fb", "/a/b"]],
    ["/a;x/", ["/a;x/", "/a;x", "/a/", "/a"]],
    ["/;x", ["/;x", "/", ""]],
    ["/login;x", ["/login;x", "/login"]],
    ["/login;x/y", ["/login;x/y", "/login/y", "/login"]],
    ["//x/login", ["//x/login", "/x/login", "/login"]],
    ["/login.", ["/login.", "/login"]],
    ["/login%3fx", ["/login?x", "/login"]],
    ["/%ef%bd%8cogin", ["/ｌogin", "/login"]],
    ["/%c4%b1d", ["/id"]],
    ["/%e1%ba%9e", ["/ss"]],
    ["/a%c0%afb", ["/a%c0%afb", "/a/b"]],
    ["/a%u002fb", ["/a%u002fb", "/a/b"]],
    ["/a%25%32%46b", ["/a%252fb", "/a%2fb", "/a/b"]],
  ])("a path is read in as many ways as origins read it: %s", (path, readings) => {
    expect(readingsOf(SITE + path)).toEqual(readings);
  });

  it.each([
    "/a%2f..%2flogin",
    "/a%2f.",
    "/%252e%252e/login",
    "/a%5c..%5clogin",
    "/a/..;/login",
    "/a/..;x=1/login",
    "/a/.;/login",
    "/a/..%3b/login",
    "/a/..%20/login",
    "/a/.%09./login",
    "/a/..%01",
    "/a/%c0%ae%c0%ae/login",
    "/a/%u002e%u002e/login",
    "/a/%ef%bc%8e%ef%bc%8e/login",
    "/a/%e2%80%a5/login",
    "/a%ef%bc%8f..%ef%bc%8flogin",
    "/login%00",
    "/login%2500",
    "/login%c0%80",
    `/${"%20".repeat(700)}`,
    `/${"a;".repeat(1_100)}`,
    "/a;%3b%253b/%2f%5c%252f%255c;%3f%253f/%23.%20/%ef%bc%8f",
  ])("a path that only an attacker writes is refused: %s", (path) => {
    expect(readingsOf(SITE + path)).toBeUndefined();
  });

  it.each([
    `/${"long".repeat(4_000)}`,
    `/${"%E3%81%82".repeat(200)}`,
    "/a...b/.../c",
    "/@scope%2fname",
    "/https://other.example/x.png",
    "/map;lat=1;lon=2/tile;z=3/a%20b",
    "/search/50%25%20off",
    "/fetch/https%253A%252F%252Fother.example%252Fa%253Fb%253Dc%2523x",
    "/thumb/300x200/https%3A%2F%2Fother.example%2Fa%2520b.jpg%3Fv%3D1",
    "/oauth/back%3Fstate%3Da%252Fb;jsessionid=1.node2",
    "/file/C%3A%5CUsers%5Cann%5Cx.txt",
  ])("a path that an honest client may write is read: %s", (path) => {
    expect(readingsOf(SITE + path)).toBeDefined();
  });

  it("a path is reserved for the API in any reading", () => {
    for (const path of ["/_turn%u0070ike", "/x;y/_turnpike", "/%c1%9fturnpike", "//_TURNPIKE"]) {
      expect(isReserved(SITE + path), path).toBe(true);
    }
    expect(isReserved(`${SITE}/turnpike`)).toBe(false);
  });

  it("a path that hides dots is refused where a policy looks at it, and counts nowhere", async () => {
    for (const policy of [
      { path: "/login" },
      { except: ["/assets/*"] },
      { key: ["ip", "path"] },
    ] satisfies Partial<RateLimitOptions>[]) {
      const send = appWith(policy);
      const refused = await send("/x%2f..%2flogin");
      expect(refused.status).toBe(400);
      expect(refused.headers.get("Content-Type")).toBe("application/problem+json");
      expect(await refused.json()).toMatchObject({ status: 400, title: "Not a valid path" });
      expect((await send("/login")).status).toBe(200);
    }
    expect((await appWith({})("/x%2f..%2flogin")).status).toBe(200);
  });
});

describe("a policy's path", () => {
  it.each([
    ["/Caf%C3%A9/*", "/CAF%C3%89/x"],
    ["/café", "/cafe%CC%81"],
    ["/a%20b", "/a%20b/"],
    ["/a.b", "/A.B"],
    ["/:page/login", "//login"],
    ["/users/:id", "/users/;x"],
    ["/users/:id", "/users/ann/"],
    ["/", "/"],
    ["/", "//"],
    ["/*/login", "/x/login"],
    ["/files/*.pdf", "/files/2026/a.PDF"],
    ["/files/*.pdf", "/files/a%2epdf;x"],
    ["*.tar.gz", "/a/b.tar.gz"],
    ["/a;b", "/a;b"],
    ["/straße", "/STRASSE"],
  ])("the policy's path %s matches %s", async (path, target) => {
    expect((await appWith({ path })(target)).headers.has("RateLimit")).toBe(true);
  });

  it.each([
    ["/:page", "/"],
    ["/users/:id", "/users/"],
    ["/a.b", "/axb"],
    ["/files/*.pdf", "/files/a.pdfx"],
    ["/files/*.pdf", "/other/a.pdf"],
    ["*.css", "/css"],
    ["/login", "/loginx"],
  ])("the policy's path %s does not match %s", async (path, target) => {
    expect((await appWith({ path })(target)).headers.has("RateLimit")).toBe(false);
  });
});

describe("the path as the URL's text has it", () => {
  it("the path in the URL's text is a reading, too, where a URL parser changes it", () => {
    expect(readingsOf("http://gate.example/a\\b")).toEqual(["/a/b", "/a\\b"]);
  });

  it.each(["/ex/../a", "/ex/./../a", "/ex/%2e%2e/a", "/ex/b\\..", "/.."])(
    "is refused where its dots stay: %s",
    (path) => {
      expect(readingsOf(`http://gate.example${path}`, false)).toBeUndefined();
      expect(readingsOf(`http://gate.example${path}`)).toBeDefined();
    },
  );

  it("a name that begins with a dot is no segment of dots", () => {
    expect(readingsOf("http://gate.example/.well-known/x", false)).toEqual(["/.well-known/x"]);
  });
});

describe("an odd host", () => {
  it.each(["gate.example#", "gate.example?", "gate.example?x=", "a\\b", "a b", "^", "%", "<x>"])(
    "leaves no path to be read: %s",
    (host) => {
      expect(readingsOf(`http://${host}/login`)).toBeUndefined();
    },
  );

  it("an odd host leaves no path to be read without a slash", () => {
    expect(readingsOf("http://gate.example?/login")).toBeUndefined();
    expect(readingsOf("http://gate.example/?/login")).toEqual([""]);
    expect(readingsOf("http://gate.example:8787/login?a#b")).toEqual(["/login"]);
  });
});
