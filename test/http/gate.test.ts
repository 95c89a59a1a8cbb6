/**
 * Request lines that no well-behaved client writes, through a raw socket to a workerd with nothing
 * in front: `wrangler dev` would tidy them up before the Worker sees them.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const POLICIES = [
  { limit: 100_000, window: "1d" },
  { name: "login", path: "/login", limit: 100_000, window: "1d" },
  { name: "api", path: "/api/*", limit: 100_000, window: "1d" },
  { name: "put", path: "/put", method: ["PUT"], limit: 100_000, window: "1d" },
  { name: "pages", path: "/pages/*", except: ["*.css"], limit: 100_000, window: "1d" },
  { name: "each", path: "/each/*", key: ["path"], limit: 1, window: "1d" },
];

let origin: Server;
let worker: WorkerdServer;
let received: IncomingMessage[] = [];

beforeAll(async () => {
  origin = createServer((incoming, outgoing) => {
    received.push(incoming);
    if (incoming.url === "/base/moved") {
      const { port } = origin.address() as AddressInfo;
      outgoing.setHeader("Location", `http://127.0.0.1:${port}/base/next`);
      outgoing.setHeader("Set-Cookie", ["a=1; Domain=127.0.0.1", "b=2"]);
      outgoing.statusCode = 302;
    }
    outgoing.setHeader("Connection", "X-Hop, close").setHeader("X-Hop", "1");
    outgoing.setHeader("Proxy-Authenticate", "Basic").setHeader("X-End", "1").end("origin");
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const { port } = origin.address() as AddressInfo;
  worker = await startGate({
    ORIGIN: `http://127.0.0.1:${port}/base`,
    POLICIES: JSON.stringify(POLICIES),
    TOKEN: "secret",
  });
});

afterAll(async () => {
  await worker.stop();
  origin.closeAllConnections();
  origin.close();
});

beforeEach(() => {
  received = [];
});

/**
 * Sends a request line as it is, with the API's token, and returns all that comes back.
 *
 * @param target with a method in front, if it is not GET
 */
async function send(target: string, host = "gate.example", ...headers: string[]): Promise<string> {
  const socket = connect(Number(new URL(worker.url).port), "127.0.0.1");
  const fields = [`Host: ${host}`, "Authorization: Bearer secret", ...headers];
  if (!headers.some((header) => header.startsWith("Connection"))) fields.push("Connection: close");
  const line = /^[A-Z]+ /.test(target) ? target : `GET ${target}`;
  socket.write(`${line} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
  return text(socket);
}

function metPolicies(answer: string): string[] {
  const [, field = ""] = /^RateLimit-Policy: (.*)$/m.exec(answer) ?? [];
  return [...field.matchAll(/"(.*?)"/g)].map(([, name]) => name as string);
}

describe("paths that could be the API's", () => {
  it.each([
    "/_turnpike",
    "/_turnpike/v1/cheque",
    "//_turnpike/v1/check",
    "///_turnpike/v1/check",
    "/./_turnpike/v1/check",
    "/x/../_turnpike/v1/check",
    "/x/%2e%2E/_turnpike/v1/check",
    "/%5fturnpike/v1/cheque",
    "/%5Fturn%70ike/v1/cheque",
    "/%255fturnpike/v1/check",
    "/%25255fturnpike/v1/check",
    "/\\_turnpike/v1/check",
    "/_turnpike\\v1\\check",
    "/%5c_turnpike/v1/check",
    "/x/..\\_turnpike/v1/check",
    "/_TurnPike/v1/check",
    "/_turnpike%2fv1/check",
    "/%2f_turnpike/v1/check",
    "/x%2f..%2f_turnpike/v1/check",
    "/a/..;/_turnpike/v1/check",
    "/_turnpike;a=b/v1/check",
    "/_turnpike%00/v1/check",
    "/_turn%09pike/v1/check",
    "/%ef%bc%bfturnpike/v1/check",
    "/%ff%5fturnpike/v1/check",
    "/base/_turnpike/v1/check",
    "http://evil.example/_turnpike/v1/cheque",
    "http://evil.example//_turnpike/v1/check",
    "/_turnpike?a",
    "/_turnpike#a",
  ])("are answered with 404 and not forwarded: %s", async (target) => {
    expect(await send(target)).toMatch(/^HTTP\/1.1 404 /);
    expect(received).toEqual([]);
  });

  it("are not forwarded if the host's text makes them so", async () => {
    // The API answers the first one itself: it takes no GET there.
    for (const host of ["gate.example/_turnpike", "gate.example\\_turnpike\\?"]) {
      expect(await send("/v1/check", host), host).toMatch(/^HTTP\/1.1 40[45] /);
    }
    expect(received).toEqual([]);
  });

  it("ask for the token in every spelling that the router knows", async () => {
    for (const target of ["/_turnpike/v1/check", "/%5fturnpike/v1/check"]) {
      const answer = await send(target, "gate.example", "Authorization: Bearer wrong");
      expect(answer).toMatch(/^HTTP\/1.1 401 /);
    }
  });
});

describe("a policy's path", () => {
  it.each([
    "/login",
    "/login/",
    "//login",
    "/login//?a=b",
    "/./login",
    "/x/../login",
    "/x/%2e./login",
    "/../../login",
    "/x/..\\login",
    "/%6cogin",
    "/%256cogin",
    "/%25%36cogin",
    "/LOGIN",
    "/Login",
    "/login;a=b",
    "/login%3ba",
    "/login%3fa",
    "/login%2f",
    "/%2flogin",
    "/lo%0agin",
    "/%ef%bd%8cogin",
    // Tomcat, Jetty.
    "/login;x%2fy",
    // Fastify 4.
    "/login;/x",
    "/login;x%2fy%3bz",
    // Node, by `new URL(request.url, base)`.
    "//x/login",
    "///x:80/login?y",
    // IIS and Windows.
    "/login.",
    "/login%20",
    "/login%u002f",
    // Decoders that take overlong UTF-8.
    "/%c0%aflogin",
    // nginx that writes a path anew, and Fastify 4 behind it.
    "/login%3b/x",
    "http://evil.example/login",
  ])("is met however it is written: %s", async (target) => {
    expect(metPolicies(await send(target))).toEqual(["default", "login"]);
  });

  it("is not escaped by a host that hides it: the request is refused", async () => {
    expect(await send("/x", "gate.example\\login?")).toMatch(
      /^HTTP\/1.1 400 .*"Not a valid path"/s,
    );
    expect(received).toEqual([]);
  });

  it("is neither met nor escaped by dots that only a decoder resolves: the request is refused", async () => {
    for (const target of [
      "/x%2f..%2flogin",
      "/x%5c..%5clogin",
      "/a%5cb%2f..%2flogin",
      "/a%252fb%2f..%2flogin",
      "/a%ef%bc%8fb%2f..%2flogin",
      "/login;%2f..%2f..%2ffoo",
      "/login%00",
      "/api/x%2f..%2f..%2fother",
      "/api/..%5c..%5cother",
      "/api/..;/other",
    ]) {
      expect(await send(target), target).toMatch(/^HTTP\/1.1 400 .*"Not a valid path"/s);
    }
    expect(received).toEqual([]);
  });

  it("is not met by other paths", async () => {
    for (const target of [
      "/logins",
      "/login/x",
      "/x?/login",
      "/log/in",
      "/login.json",
      "/apis",
      "/*",
    ]) {
      expect(metPolicies(await send(target)), target).toEqual(["default"]);
    }
  });

  it("is met by the method that a header names beside the request's own", async () => {
    for (const name of ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]) {
      expect(metPolicies(await send("/put", "gate.example", `${name}: put`))).toEqual([
        "default",
        "put",
      ]);
      const page = await send("/pages/a.css", "gate.example", `${name}: POST`);
      expect(metPolicies(page)).toEqual(["default", "pages"]);
      const [{ headers }] = received as [IncomingMessage];
      expect(headers[name.toLowerCase()]).toBe("put");
      received = [];
    }
    expect(metPolicies(await send("/put"))).toEqual(["default"]);
    expect(metPolicies(await send("/pages/a.css"))).toEqual(["default"]);
  });

  it("has one quota in all spellings if the path is the key", async () => {
    expect(await send("/each/a")).toMatch(/^HTTP\/1.1 200 /);
    for (const target of [
      ...["/each/a/", "//each//a", "/EACH/A", "/each/%61", "/each/a;b", "/each/a;/x"],
      ...["/each/a;x%2fy", "/each;x/a", "//x/each/a", "/each/a%3bb/c", "/each/a%20"],
    ]) {
      expect(await send(target), target).toMatch(/^HTTP\/1.1 429 /);
    }
    expect(await send("/each/b")).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe("a path that is refused", () => {
  it("is a problem, costs nothing, and is refused without a policy for paths", async () => {
    const answer = await send("/x%2f..%2fy");
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer).toMatch(/^Content-Type: application\/problem\+json\r$/m);
    expect(answer).not.toMatch(/^RateLimit/m);
    expect(await send(`/${"x;".repeat(2_000)}`)).toMatch(/^HTTP\/1.1 400 /);
    expect(received).toEqual([]);
  });

  it("is not the asterisk of OPTIONS, which counts as the root", async () => {
    const answer = await send("OPTIONS *");
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
    expect(metPolicies(answer)).toEqual(["default"]);
    expect(received.map(({ method, url }) => [method, url])).toEqual([["OPTIONS", "/base/"]]);
    const [{ headers }] = received as [IncomingMessage];
    expect(headers["x-forwarded-host"]).toBe("gate.example");
    expect(await send("OPTIONS *", "a^b")).toMatch(/^HTTP\/1.1 400 /);
  });

  it("is never one that is only long or odd", async () => {
    for (const target of [
      `/${"x".repeat(8_000)}`,
      "/a/.well-known/...",
      "/https://other.example//x.png",
      "/%e3%81%82%20b;c=d/%2f",
    ]) {
      expect(await send(target), target).toMatch(/^HTTP\/1.1 200 /);
    }
  });
});

describe("the origin", () => {
  it.each([
    ["/x", "/base/x"],
    ["//evil.example/x", "/base//evil.example/x"],
    ["///evil.example", "/base///evil.example"],
    ["http://evil.example/x", "/base/x"],
    ["https://user:word@evil.example:1/x", "/base/x"],
    ["/../../x", "/base/x"],
    ["/%2e%2e/x", "/base/x"],
    ["/@evil.example", "/base/@evil.example"],
    ["/%41%2F%ff%?", "/base/%41%2F%ff%?"],
    ["/a;b=c/'()*!$&+,=:@~?d=%2F&e=//", "/base/a;b=c/'()*!$&+,=:@~?d=%2F&e=//"],
  ])("stays the origin, and gets %s as %s", async (target, path) => {
    expect(await send(target)).toMatch(/\r\n\r\norigin$/);
    const { port } = origin.address() as AddressInfo;
    const [{ url, headers }] = received as [IncomingMessage];
    expect([url, headers.host]).toEqual([path, `127.0.0.1:${port}`]);
  });

  it.each(["evil.example", "evil.example:80", "user@evil.example"])(
    "is not chosen by Host: %s",
    async (host) => {
      expect(await send("/x", host)).toMatch(/\r\n\r\norigin$/);
    },
  );

  it("gets no header that ends at a proxy, and neither does the client", async () => {
    const answer = await send(
      "/x",
      "gate.example",
      "Connection: close, X-Named, CF-Ray, X-Forwarded-For",
      "X-Named: 1",
      "CF-Ray: 2",
      "CF-Connecting-IP: 203.0.113.7",
      "X-Forwarded-For: 192.0.2.1",
      "X-Plain: 3",
      "Keep-Alive: timeout=5",
      "Proxy-Authorization: Basic eDp5",
      "Proxy-Connection: keep-alive",
      "TE: trailers",
      "Trailer: X-Sum",
    );
    const [{ headers }] = received as [IncomingMessage];
    expect(headers).toMatchObject({ "cf-ray": "2", "x-plain": "3" });
    expect(headers["x-forwarded-for"]).toBe("203.0.113.7");
    for (const name of ["x-named", "keep-alive", "te", "trailer"]) {
      expect(headers).not.toHaveProperty(name);
    }
    expect(Object.keys(headers).filter((name) => name.startsWith("proxy-"))).toEqual([]);
    expect(answer).toMatch(/^X-End: 1\r$/m);
    expect(answer).not.toMatch(/^(?:X-Hop|Proxy-)/im);
  });

  it("learns the public host and scheme, whatever the client claims", async () => {
    const claims = [
      "X-Forwarded-Host: evil.example",
      "X-Forwarded-Proto: ftp",
      "Forwarded: host=x",
    ];
    await send("/x", "shop.example:8080", ...claims, "X-Original-URL: /admin");
    const [{ headers }] = received as [IncomingMessage];
    expect(headers).toMatchObject({
      "x-forwarded-host": "shop.example:8080",
      "x-forwarded-proto": "http",
    });
    expect(headers).not.toHaveProperty("forwarded");
    expect(headers).not.toHaveProperty("x-original-url");
  });

  it("does not send its client past the gate", async () => {
    const answer = await send("/moved", "shop.example");
    expect(answer).toMatch(/^Location: http:\/\/shop\.example\/next\r$/m);
    expect(answer).toMatch(/^Set-Cookie: a=1; Domain=shop\.example\r$/m);
    expect(answer).toMatch(/^Set-Cookie: b=2\r$/m);
  });

  it("does not see its client's own RateLimit fields come back", async () => {
    const answer = await send("/x", "gate.example", 'RateLimit: "default";r=99999999;t=1');
    expect(answer).toMatch(/^RateLimit: "default";r=\d{1,5};t=\d+\r$/m);
  });
});
