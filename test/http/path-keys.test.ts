/** Methods, excepted paths, and keys with a part of the path. */
import { describe, expect, it } from "vitest";
import type { RateLimitOptions } from "../../src/index.ts";
import { appWith, statuses } from "./path-app.ts";

describe("a policy's method", () => {
  it("a policy's method may be HEAD alone", async () => {
    const send = appWith({ method: ["HEAD"] });
    expect(await statuses(send, ["/", "/"], "GET")).toEqual([200, 200]);
    expect(await statuses(send, ["/", "/"], "HEAD")).toEqual([200, 429]);
  });

  it("a HEAD counts once where GET and HEAD are listed", async () => {
    const send = appWith({ method: ["GET", "HEAD"], limit: 3 });
    expect((await send("/", "HEAD")).headers.get("RateLimit")).toMatch(/;r=2;/);
    expect((await send("/")).headers.get("RateLimit")).toMatch(/;r=1;/);
  });

  it("a policy's method matches in any case", async () => {
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
  ])("an excepted path is not counted: %s", async (path) =>
    expect(await isCounted(path)).toBe(false),
  );

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
  ])("an excepted path is counted if any origin may read it otherwise: %s", async (path) =>
    expect(await isCounted(path)).toBe(true),
  );

  it("a path excepted by its extension is counted for methods that change things", async () => {
    expect(await isCounted("/login.css", "POST")).toBe(true);
    expect(await isCounted("/login.css", "HEAD")).toBe(false);
    expect(await isCounted("/assets/x", "POST")).toBe(false);
  });

  it("an excepted path is refused where it hides dots", async () => {
    for (const path of ["/assets/..%2flogin", "/assets/..;/login", "/login%00.css"]) {
      expect((await send(path)).status, path).toBe(400);
    }
  });
});

describe("a key's part of the path", () => {
  it("a path in a key is one key in all spellings that an origin may read as it", async () => {
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

  it("a key may have the segment that a name in the policy's path stands for", async () => {
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

  it("a path in a key may stand beside others, each client with its own quota", async () => {
    const send = appWith({ path: "/users/:id", key: ["ip", "param:id"] });
    expect((await send("/users/ann", "GET", "192.0.2.1")).status).toBe(200);
    expect((await send("/users/ann", "GET", "192.0.2.2")).status).toBe(200);
    expect((await send("/users/bob", "GET", "192.0.2.2")).status).toBe(200);
    expect((await send("/users/bob;x", "GET", "192.0.2.2")).status).toBe(429);
  });

  it("a policy is told of once, as the strictest, where a path may mean several keys", async () => {
    const send = appWith({ name: "places", path: "/each/*", key: ["path"], limit: 5 });
    await send("/each/a");
    await send("/each/a");
    const { headers } = await send("/each/a;b");
    expect(headers.get("RateLimit-Policy")).toBe('"places";q=5;w=3600');
    expect(headers.get("RateLimit")).toMatch(/^"places";r=2;t=\d+$/);
  });

  it("a request frees a slot, or gives back, under every key that its path may mean", async () => {
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

  it("a path that may mean too many keys is refused", async () => {
    const send = appWith({ path: "/each/*", key: ["path"], limit: 1_000 });
    const honest = "/each/https:%2F%2Fother.example%2F%3Fa%3D1%26b%3D2;c";
    expect((await send(honest)).status).toBe(200);
    expect((await send("/each/a;%3b/%2f%253b/b%5cc%3fd")).status).toBe(400);
  });
});
