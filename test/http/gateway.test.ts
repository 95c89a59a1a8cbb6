/** The gateway in front of a real origin, through a real socket. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { deployed, start as startWorkers, worker } from "../binding/cluster.ts";
import { ALL_OBJECTS, startGate } from "./gate-server.ts";

const BIG = 1_000_000;

let origin: Server;
let originUrl: string;
let server: WorkerdServer;
let disconnects = 0;

beforeAll(async () => {
  origin = createServer(async (incoming, outgoing) => {
    const path = new URL(incoming.url ?? "/", "http://origin").pathname;
    if (path === "/base/slow") {
      const drip = setInterval(() => outgoing.write("drip"), 50);
      outgoing.on("close", () => {
        clearInterval(drip);
        disconnects++;
      });
    } else if (path === "/base/moved") {
      outgoing.writeHead(302, { Location: "/elsewhere" }).end();
    } else if (path === "/base/limited") {
      outgoing.setHeader("RateLimit", "limit=10, remaining=3, reset=5");
      outgoing.setHeader("RateLimit-Policy", '"origin";q=1').setHeader("X-RateLimit-Limit", "10");
      outgoing.writeHead(429, { "Retry-After": "7" }).end();
    } else if (path === "/base/early") {
      // Answers at the first piece of the body, so that a gate that holds it back waits for ever.
      incoming.once("data", (piece) => outgoing.end(`${piece}`));
    } else if (path === "/base/cookies") {
      outgoing.setHeader("Set-Cookie", ["a=1", "b=2"]).end("cookies");
    } else {
      const hash = createHash("sha256");
      for await (const chunk of incoming) hash.update(chunk);
      const { method, url, headers } = incoming;
      outgoing.setHeader("Content-Type", "application/json");
      outgoing.end(JSON.stringify({ method, url, headers, sha256: hash.digest("hex") }));
    }
  });
  new WebSocketServer({ server: origin }).on("connection", (socket) => {
    socket.on("message", (data) => socket.send(`echo ${data}`));
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  originUrl = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  server = await start(`${originUrl}/base/`);
});

afterAll(async () => {
  await server.stop();
  origin.closeAllConnections();
  origin.close();
});

function start(ORIGIN: string, limit = 1_000): Promise<WorkerdServer> {
  const POLICIES = JSON.stringify([{ name: `gate-${limit}`, limit, window: "1d" }]);
  return startGate({ ORIGIN, POLICIES }, ALL_OBJECTS);
}

/** Runs a test against another server, and ends that. */
async function against(other: Promise<WorkerdServer>, test: () => Promise<void>): Promise<void> {
  const usual = server;
  server = await other;
  try {
    await test();
  } finally {
    await server.stop();
    server = usual;
  }
}

/** A request as a client makes it, with nothing added by `fetch`. */
async function send(method: string, path: string, body?: Buffer) {
  const outgoing = request(new URL(path, server.url).href, { method, agent: false });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return { incoming, text: Buffer.concat(chunks).toString() };
}

describe("gateway", () => {
  it.each(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])(
    "forwards %s with path, query, and the limit's fields on the answer",
    async (method) => {
      const { incoming, text } = await send(method, "/a%20b/c?d=e&f=%2F");
      expect(incoming.statusCode).toBe(200);
      expect(incoming.headers["ratelimit-policy"]).toBe('"gate-1000";q=1000;w=86400');
      expect(incoming.headers.ratelimit).toMatch(/^"gate-1000";r=\d+;t=\d+$/);
      expect(JSON.parse(text)).toMatchObject({ method, url: "/base/a%20b/c?d=e&f=%2F" });
    },
  );

  it("forwards HEAD", async () => {
    const { incoming, text } = await send("HEAD", "/head");
    expect([incoming.statusCode, text]).toEqual([200, ""]);
    expect(incoming.headers["content-type"]).toBe("application/json");
  });

  it("streams a body through unchanged", async () => {
    const body = randomBytes(BIG);
    const { text } = await send("POST", "/upload", body);
    expect(JSON.parse(text).sha256).toBe(createHash("sha256").update(body).digest("hex"));
  });

  it("streams a body before it is whole", async () => {
    const outgoing = request(`${server.url}early`, { method: "POST", agent: false });
    outgoing.write("first piece");
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    const [piece] = await once(incoming, "data");
    expect(String(piece)).toBe("first piece");
    outgoing.destroy();
  });

  it("does not forward calls of its own API, which may carry the token", async () => {
    const asked = ["", "/", "/metrics", "/v1/check", "/v1/cheque", "/v1/check/", "/v1"];
    for (const path of asked) {
      for (const method of ["GET", "POST"]) {
        const { incoming, text } = await send(method, `/_turnpike${path}`);
        expect(incoming.statusCode, path).toBe(404);
        expect(JSON.parse(text).title).toBe("Not found");
      }
    }
  });

  it("puts its own fields beside the origin's, the stricter in front", async () => {
    const { incoming } = await send("GET", "/limited");
    expect(incoming.headers.ratelimit).toMatch(/^"origin";r=3;t=5, "gate-1000";r=9\d\d;t=\d+$/);
    expect(incoming.headers["ratelimit-policy"]).toBe('"origin";q=1, "gate-1000";q=1000;w=86400');
    // The origin's own denial keeps the origin's own explanation.
    expect(incoming.statusCode).toBe(429);
    expect(incoming.headers).toMatchObject({ "retry-after": "7", "x-ratelimit-limit": "10" });
  });

  it("streams an answer as it comes, and ends the origin's when the client goes", async () => {
    const before = disconnects;
    const abort = new AbortController();
    // The local runtime holds small pieces back where it compresses.
    const headers = { "Accept-Encoding": "identity" };
    const response = await fetch(`${server.url}slow`, { signal: abort.signal, headers });
    const { value } = (await response.body?.getReader().read()) ?? {};
    expect(Buffer.from(value ?? []).toString()).toMatch(/^drip/);
    abort.abort();
    for (let n = 0; n < 50 && disconnects === before; n++) await sleep(100);
    expect(disconnects).toBe(before + 1);
  });

  it("passes redirects and cookies on as they are", async () => {
    const moved = await send("GET", "/moved");
    expect([moved.incoming.statusCode, moved.incoming.headers.location]).toEqual([
      302,
      "/elsewhere",
    ]);
    const { incoming } = await send("GET", "/cookies");
    expect(incoming.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  });

  it("connects a WebSocket through", async () => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}socket`);
    await once(socket, "open");
    socket.send("hello");
    const [message] = await once(socket, "message");
    expect(String(message)).toBe("echo hello");
    socket.close();
    await once(socket, "close");
  });

  it("refuses what is over the limit without asking the origin", () =>
    against(start(originUrl, 1), async () => {
      expect((await send("GET", "/")).incoming.statusCode).toBe(200);
      const { incoming, text } = await send("POST", "/", randomBytes(1_000));
      expect(incoming.statusCode).toBe(429);
      expect(JSON.parse(text)).toMatchObject({ status: 429, "violated-policies": ["gate-1"] });
    }));

  it("answers 502 as a problem if the origin is down, and charges for it", () =>
    against(start("http://127.0.0.1:1", 2), async () => {
      for (const left of [1, 0]) {
        const { incoming, text } = await send("GET", "/");
        expect(incoming.statusCode).toBe(502);
        expect(incoming.headers["content-type"]).toBe("application/problem+json");
        expect(incoming.headers.ratelimit).toContain(`"gate-2";r=${left};`);
        expect(JSON.parse(text)).toMatchObject({ title: "Bad gateway" });
      }
      expect((await send("GET", "/")).incoming.statusCode).toBe(429);
    }));

  it("refuses to forward to itself where there is no zone", () =>
    against(start("zone"), async () => {
      expect((await send("GET", "/")).incoming.statusCode).toBe(502);
    }));

  it("forwards to a service binding if there is one", async () => {
    const answer = '"service " + new URL(request.url).pathname';
    const upstream = `export default { fetch: (request) => new Response(${answer}) }`;
    const gate = await deployed([{ limit: 1_000, window: "1d" }]);
    await using services = await startWorkers(
      { ...gate, serviceBindings: { ORIGIN_SERVICE: "upstream" } },
      worker("upstream", upstream),
    );
    const response = await services.fetch("turnpike", "http://gate/path");
    expect(await response.text()).toBe("service /path");
  });
});
