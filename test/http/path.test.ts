/** What the middleware makes of paths and methods: which policies are met, and under which keys. */

import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { isReserved, readingsOf } from "../../src/http/match/path.ts";
import { type RateLimitOptions, rateLimit } from "../../src/index.ts";

const SITE = "https://site.example";

/** Returns what sends requests to an app with these policies, under names of their own. */
function appWith(...policies: Partial<RateLimitOptions>[]) {
  const app = new Hono();
  const named = policies.map((policy) => ({
    name: crypto.randomUUID(),
    limit: 1,
    window: "1h",
    ...policy,
  }));
  app.use(rateLimit(...named));
  app.all("*", (c) => c.text("fine"));
  return async (path: string, method = "GET", ip = "192.0.2.1") =>
    app.request(`${SITE}${path}`, { method, headers: { "CF-Connecting-IP": ip } });
}

async function statuses(
  send: ReturnType<typeof appWith>,
  paths: readonly string[],
  method?: string,
): Promise<number[]> {
  const found: number[] = [];
  for (const path of paths) found.push((await send(path, method)).status);
  return found;
}

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
  ])("is read in as many ways as origins read it: %s", (path, readings) => {
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
  ])("is not read where only an attacker writes it: %s", (path) => {
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
  ])("is read where an honest client may write it: %s", (path) => {
    expect(readingsOf(SITE + path)).toBeDefined();
  });

  it("is one of Turnpike's own in any reading", () => {
    for (const path of ["/_turn%u0070ike", "/x;y/_turnpike", "/%c1%9fturnpike", "//_TURNPIKE"]) {
      expect(isReserved(SITE + path), path).toBe(true);
    }
    expect(isReserved(`${SITE}/turnpike`)).toBe(false);
  });

  it("that hides dots is refused where a policy looks at it, and counts nowhere", async () => {
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
  ])("%s is met by %s", async (path, target) => {
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
  ])("%s is not met by %s", async (path, target) => {
    expect((await appWith({ path })(target)).headers.has("RateLimit")).toBe(false);
  });
});

describe("the path as the URL's text has it", () => {
  it("is a reading where a URL parser changes it", () => {
    expect(readingsOf("http://gate.example/a\\b")).toEqual(["/a/b", "/a\\b"]);
  });

  it.each(["/ex/../a", "/ex/./../a", "/ex/%2e%2e/a", "/ex/b\\..", "/.."])(
    "is refused where its dots stay: %s",
    (path) => {
      expect(readingsOf(`http://gate.example${path}`, false)).toBeUndefined();
      expect(readingsOf(`http://gate.example${path}`)).toBeDefined();
    },
  );

  it("keeps names that begin with a dot", () => {
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

  it("leaves no path to be read without a slash", () => {
    expect(readingsOf("http://gate.example?/login")).toBeUndefined();
    expect(readingsOf("http://gate.example/?/login")).toEqual([""]);
    expect(readingsOf("http://gate.example:8787/login?a#b")).toEqual(["/login"]);
  });
});

describe("a policy's method", () => {
  it("may be HEAD alone", async () => {
    const send = appWith({ method: ["HEAD"] });
    expect(await statuses(send, ["/", "/"], "GET")).toEqual([200, 200]);
    expect(await statuses(send, ["/", "/"], "HEAD")).toEqual([200, 429]);
  });

  it("counts a HEAD once where GET and HEAD are listed", async () => {
    const send = appWith({ method: ["GET", "HEAD"], limit: 3 });
    expect((await send("/", "HEAD")).headers.get("RateLimit")).toMatch(/;r=2;/);
    expect((await send("/")).headers.get("RateLimit")).toMatch(/;r=1;/);
  });

  it("is met in any case", async () => {
    const send = appWith({ method: ["PATCH"] });
    expect((await send("/", "PATCH")).status).toBe(200);
    expect((await send("/", "patch")).status).toBe(429);
  });
});

describe("what a policy excepts", () => {
  const send = appWith({ limit: 1_000, except: ["/assets/*", "*.css", "/health"] });
  const isCounted = async (path: string, method?: string) =>
    (await send(path, method)).headers.has("RateLimit");

  it.each([
    "/assets/x",
    "/Assets/x/y.js",
    "/assets",
    "/x.css",
    "/a/b.CSS",
    "/health/",
    "/%61ssets/x",
  ])("is not counted: %s", async (path) => expect(await isCounted(path)).toBe(false));

  it.each([
    "/login;x.css",
    "/login;/assets/x.css",
    "/login%3fx.css",
    "/login%23.css",
    "//login/x.css%2f",
    "//assets/login",
    "/assets%2flogin",
    "/assets;/login",
    "/assets%5clogin",
    "/x.css.",
    "/x.css%20",
    "/x.css;jsessionid=1",
    "/health;/login",
    "/css",
  ])("is counted if any origin may read it otherwise: %s", async (path) =>
    expect(await isCounted(path)).toBe(true),
  );

  it("is counted by extension for what changes things", async () => {
    expect(await isCounted("/login.css", "POST")).toBe(true);
    expect(await isCounted("/login.css", "HEAD")).toBe(false);
    expect(await isCounted("/assets/x", "POST")).toBe(false);
  });

  it("is refused where it hides dots", async () => {
    for (const path of ["/assets/..%2flogin", "/assets/..;/login", "/login%00.css"]) {
      expect((await send(path)).status, path).toBe(400);
    }
  });
});

describe("a key's part of the path", () => {
  it("is one key in all spellings that an origin may take for it", async () => {
    for (const path of ["/each/*", "/each/:id"]) {
      const send = appWith({ path, key: ["path"] });
      expect((await send("/each/a")).status).toBe(200);
      const spellings = [
        ...["/each/a/", "//each//a", "/EACH/A", "/each/%61", "/each/a;b", "/each/a;x%2fy"],
        ...["/each/a;/x", "/each;x/a", "//x/each/a", "/each/%2561", "/each/a%3fb", "/each/a%20"],
        ...[
          "/each%2fa",
          "/each%5ca",
          "/each/%EF%BD%81",
          "/each/a.",
          "/each/a%c0%bbx",
          "/each/a%23",
        ],
      ];
      expect(await statuses(send, spellings)).toEqual(spellings.map(() => 429));
      expect((await send("/each/b")).status).toBe(200);
    }
  });

  it("may be what a name in the policy's path stands for", async () => {
    const send = appWith({ path: "/users/:userId/*", key: ["param:userId"] });
    expect((await send("/users/ann/mail")).status).toBe(200);
    expect(
      await statuses(send, [
        ...[
          "/users/ann/photos",
          "/Users/ANN",
          "/users/%61nn/x",
          "/users/ann;x/y",
          "/users/ann%3b/",
        ],
        ...[
          "/users;x/ann/y",
          "/users/%EF%BD%81nn",
          "//users//ann//x",
          "/users/ann%2fx",
          "/users/an%6e.",
        ],
      ]),
    ).toEqual(Array(10).fill(429));
    expect((await send("/users/bob/mail")).status).toBe(200);
  });

  it("may stand beside others, each client with a quota of its own", async () => {
    const send = appWith({ path: "/users/:id", key: ["ip", "param:id"] });
    expect((await send("/users/ann", "GET", "192.0.2.1")).status).toBe(200);
    expect((await send("/users/ann", "GET", "192.0.2.2")).status).toBe(200);
    expect((await send("/users/bob", "GET", "192.0.2.2")).status).toBe(200);
    expect((await send("/users/bob;x", "GET", "192.0.2.2")).status).toBe(429);
  });

  it("is told of once, as the strictest, where a path may mean several", async () => {
    const send = appWith({ name: "places", path: "/each/*", key: ["path"], limit: 5 });
    await send("/each/a");
    await send("/each/a");
    const { headers } = await send("/each/a;b");
    expect(headers.get("RateLimit-Policy")).toBe('"places";q=5;w=3600');
    expect(headers.get("RateLimit")).toMatch(/^"places";r=2;t=\d+$/);
  });

  it("frees a slot, or gives back, under every key that a path may mean", async () => {
    const policies: Partial<RateLimitOptions>[] = [
      { algorithm: "concurrency" },
      { charge: "failure" },
    ];
    for (const policy of policies) {
      const send = appWith({ path: "/each/*", key: ["path"], ...policy });
      for (const path of ["/each/a;b", "/each/a;b", "/each/a"]) {
        const response = await send(path);
        expect([response.status, await response.text()]).toEqual([200, "fine"]);
      }
    }
  });

  it("is refused where a path may mean too many", async () => {
    const send = appWith({ path: "/each/*", key: ["path"], limit: 1_000 });
    const honest = "/each/https:%2F%2Fother.example%2F%3Fa%3D1%26b%3D2;c";
    expect((await send(honest)).status).toBe(200);
    expect((await send("/each/a;%3b/%2f%253b/b%5cc%3fd")).status).toBe(400);
  });
});
