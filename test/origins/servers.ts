/** Servers that others wrote, and one that writes odd bytes: what may stand behind the gate. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, connect, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { brotliCompressSync, createGzip, gzipSync } from "node:zlib";
import express from "express";
import fastify from "fastify";
import { WebSocketServer } from "ws";

export interface Origin {
  port: number;
  close(): Promise<void>;
}

const TEXT = "the same bytes again and again. ".repeat(100);
/** Any time that is not now, so that validators are the same in each run. */
const MODIFIED = new Date("2026-11-25T12:00:00Z");

/** A folder of files to serve. */
export function siteFolder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), "turnpike-site-"));
  for (const [name, content] of [
    ["index.html", "<!doctype html><title>Site</title>"],
    ["file.txt", TEXT],
    ["page two.html", "<!doctype html><title>Two</title>"],
    ["file.bin", Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 7) % 256))],
  ] as const) {
    writeFileSync(join(path, name), content);
    utimesSync(join(path, name), MODIFIED, MODIFIED);
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** What was asked, as the server saw it. */
async function echo(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const hash = createHash("sha256");
  for await (const piece of incoming) hash.update(piece);
  const { method, url, rawHeaders } = incoming;
  const headers: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    headers.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  }
  const seen = { method, url, headers, sha256: hash.digest("hex") };
  outgoing.setHeader("Content-Type", "application/json").write(JSON.stringify(seen));
  outgoing.end();
}

/** Node's own server: streams, cookies, encodings, WebSockets, redirects, and any status. */
export async function plainServer(): Promise<Origin> {
  const server = createServer(async (incoming, outgoing) => {
    const { pathname, searchParams } = new URL(incoming.url ?? "/", "http://origin");
    const { port } = server.address() as AddressInfo;
    const set = (name: string, value: string | string[]) => outgoing.setHeader(name, value);
    switch (pathname) {
      case "/status":
        set("Content-Type", "text/plain");
        outgoing.statusCode = Number(searchParams.get("code"));
        return void outgoing.end("status");
      case "/cookies":
        set("Set-Cookie", ["a=1; Path=/", "b=2; Expires=Wed, 25 Nov 2026 12:00:00 GMT", "c=3"]);
        return void outgoing.end("cookies");
      case "/lines":
        set("Link", ["</a.css>; rel=preload", "</b.js>; rel=preload"]);
        set("Vary", ["Accept", "Origin"]);
        set("X-Empty", "");
        set("X-Latin", "caf\xe9");
        set("X-Long", "x".repeat(8_000));
        return void outgoing.end("lines");
      case "/gzip":
        set("Content-Encoding", "gzip").setHeader("ETag", '"strong"');
        return void outgoing.end(gzipSync(TEXT));
      case "/br":
        set("Content-Encoding", "br").setHeader("ETag", '"strong"');
        return void outgoing.end(brotliCompressSync(TEXT));
      case "/no-gzip":
        return void set("Content-Encoding", "gzip").end(TEXT);
      case "/gzip-stream": {
        set("Content-Encoding", "gzip");
        const gzip = createGzip();
        gzip.pipe(outgoing);
        return void gzip.end(TEXT);
      }
      case "/events":
        set("Content-Type", "text/event-stream").setHeader("Cache-Control", "no-cache");
        for (let n = 0; n < 3; n++) {
          outgoing.write(`id: ${n}\ndata: event ${n}\n\n`);
          await sleep(20);
        }
        return void outgoing.end();
      case "/moved":
        outgoing.statusCode = Number(searchParams.get("code"));
        set("Location", (searchParams.get("to") ?? "").replace("ORIGIN", `127.0.0.1:${port}`));
        return void outgoing.end();
      case "/cors":
        set("Access-Control-Allow-Origin", "*");
        return void outgoing.end("cors");
      case "/hops":
        set("Connection", "X-Hop, close").setHeader("X-Hop", "1");
        set("Keep-Alive", "timeout=5").setHeader("Proxy-Authenticate", "Basic");
        return void outgoing.end("hops");
      case "/limited":
        set("RateLimit", '"own";r=1;t=5').setHeader("RateLimit-Policy", '"own";q=2;w=9');
        set("X-RateLimit-Remaining", "1").setHeader("Retry-After", "5");
        outgoing.statusCode = 429;
        return void outgoing.end("limited");
      case "/early":
        // An answer before the request's body was read.
        outgoing.statusCode = 413;
        return void outgoing.end("too large");
      case "/big":
        for (let n = 0; n < 64; n++) outgoing.write(Buffer.alloc(65_536, n));
        return void outgoing.end();
      case "/cut":
        set("Content-Length", "1000").write("half");
        return void setTimeout(() => outgoing.destroy(), 50);
      case "/cut-chunks":
        outgoing.write("half");
        return void setTimeout(() => outgoing.destroy(), 50);
      default:
        return echo(incoming, outgoing);
    }
  });
  const sockets = new WebSocketServer({
    server,
    handleProtocols: (offered) => [...offered].at(-1) ?? false,
  });
  sockets.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => {
      if (String(data) === "close") socket.close(4321, "as asked");
      else socket.send(data, { binary: isBinary });
    });
  });
  return listening(server);
}

/** A server that ends its connection where HTTP says that more must come. */
export async function brokenServer(): Promise<Origin> {
  const answers: Record<string, string> = {
    "/none": "",
    "/half-head": "HTTP/1.1 200 OK\r\nX-",
    "/garbage": "no HTTP at all\r\n\r\n",
    "/http-1.0": "HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nuntil the end",
    "/until-end": "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "/reason": "HTTP/1.1 200 Quite Fine\r\nContent-Length: 2\r\n\r\nok",
    "/no-reason": "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
  };
  const server = createSocketServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (request) => {
      socket.end(answers[/^\S+ (\S+)/.exec(String(request))?.[1] ?? ""] ?? "");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { port, close: async () => void server.close() };
}

/** What is used here of Express, which ships no declarations. */
interface Express {
  (): ExpressApp;
  urlencoded(): ExpressHandler;
  json(): ExpressHandler;
  static(folder: string): ExpressHandler;
}
type ExpressRoute = (path: string, ...handlers: ExpressHandler[]) => void;
type ExpressApp = Record<"get" | "post" | "put" | "use", ExpressRoute> & RequestListener;
type ExpressHandler = (
  request: { body: unknown },
  response: {
    json(value: unknown): void;
    send(text: string): void;
    redirect(...parts: unknown[]): void;
    cookie(name: string, value: string, options?: object): void;
    download(path: string, name: string): void;
  },
) => void;

export async function expressServer(folder: string): Promise<Origin> {
  const typed = express as unknown as Express;
  const app = typed();
  app.get("/json", (_, response) => void response.json({ hello: "world" }));
  app.get("/text", (_, response) => void response.send(TEXT));
  app.get("/redirect", (_, response) => response.redirect("/json"));
  app.get("/login", (_, response) => {
    response.cookie("session", "abc", { httpOnly: true, sameSite: "lax" });
    response.cookie("theme", "dark; light");
    response.redirect(303, "/");
  });
  app.get("/throw", () => {
    throw new Error("as asked");
  });
  app.get("/file", (_, response) => response.download(join(folder, "file.bin"), "näme.bin"));
  app.post("/form", typed.urlencoded(), (request, response) => void response.json(request.body));
  app.put("/json", typed.json(), (request, response) => void response.json(request.body));
  app.use("/static", typed.static(folder));
  return listening(createServer(app));
}

export async function fastifyServer(): Promise<Origin> {
  const app = fastify({ logger: false });
  app.get("/json", async () => ({ hello: "world" }));
  app.get("/text", async (_, reply) => reply.type("text/plain").send(TEXT));
  app.get("/redirect", async (_, reply) => reply.redirect("/json", 307));
  app.get("/stream", async (_, reply) => reply.send(new Blob([TEXT]).stream()));
  app.get("/throw", async () => {
    throw new Error("as asked");
  });
  app.post("/json", async (request) => request.body);
  app.delete("/json", async (_, reply) => reply.code(204).send());
  await app.listen({ port: 0, host: "127.0.0.1" });
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
}

const NGINX = process.env.NGINX ?? "nginx";

/** Starts nginx on a folder; undefined where it is not installed, as a line in the output says. */
export async function nginxServer(folder: string): Promise<Origin | undefined> {
  if (spawnSync(NGINX, ["-v"]).error) {
    console.warn(`${NGINX} is not installed, so nothing is compared with it`);
    return undefined;
  }
  const home = mkdtempSync(join(tmpdir(), "turnpike-nginx-"));
  const { port, close } = await listening(createServer());
  await close();
  const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  writeFileSync(
    join(home, "nginx.conf"),
    `daemon off; pid nginx.pid; error_log stderr crit; worker_processes 1; events {}
http { access_log off; ${kinds.map((kind) => `${kind}_temp_path ${kind};`).join(" ")}
gzip on; gzip_types text/plain; gzip_min_length 10;
server { listen 127.0.0.1:${port}; root ${folder}; autoindex on;
location = /moved { return 301 /file.txt; } location = /teapot { return 418 "teapot"; } } }`,
  );
  const child = spawn(NGINX, ["-p", home, "-c", "nginx.conf"], { stdio: "ignore" });
  await answering(child, port);
  return {
    port,
    close: async () => {
      child.kill("SIGTERM");
      await once(child, "exit");
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function answering(child: ChildProcess, port: number): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    const isOpen = await new Promise((resolve) => {
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await sleep(20);
  }
}

async function listening(server: Server): Promise<Origin> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
