/** Readers that others wrote: frameworks as they are installed, and their routers by themselves. */
import type { IncomingMessage, ServerResponse } from "node:http";
import Router from "@koa/router";
import express from "express";
import express4 from "express4";
import fastify from "fastify";
import fastify4 from "fastify4";
import findMyWay from "find-my-way";
import { Hono } from "hono";
import Koa from "koa";
import { match } from "path-to-regexp";
import { inProcess, type Reached, type Reader, ROUTE_HEADER, says, served } from "./reader.ts";

/** Routes as path-to-regexp has written them since version 8. */
const MODERN = {
  "/login": ["/login"],
  "/api/*": ["/api{/*rest}"],
  "/users/:id": ["/users/:id"],
  "/users/:id/mail": ["/users/:id/mail"],
  "/Files/*.pdf": ["/files/*name.pdf"],
};

/** As find-my-way and Fastify have them: `*` stands at the end only, so a handler looks at it. */
const RADIX = {
  "/login": ["/login"],
  "/api/*": ["/api", "/api/*"],
  "/users/:id": ["/users/:id"],
  "/users/:id/mail": ["/users/:id/mail"],
  "/Files/*.pdf": ["/files/*"],
};

function isReached(route: string, rest = ""): boolean {
  return !route.includes(".") || rest.endsWith(".pdf");
}

const LOOSE = {
  caseSensitive: false,
  ignoreTrailingSlash: true,
  ignoreDuplicateSlashes: true,
  useSemicolonDelimiter: true,
};

/** Starts all of them. */
export async function frameworks(): Promise<Reader[]> {
  return [
    await served("Express 4", ofExpress4()),
    await served("Express 5", ofExpress5()),
    await ofFastify("Fastify 4", fastify4({ logger: false })),
    await ofFastify("Fastify 4, loose", fastify4({ logger: false, ...LOOSE })),
    await ofFastify("Fastify 5", fastify({ logger: false })),
    await ofFastify("Fastify 5, loose", fastify({ logger: false, routerOptions: LOOSE })),
    await served("Koa", ofKoa()),
    await served("Node", ofNode),
    ofHono(),
    ofFindMyWay("find-my-way", {}),
    ofFindMyWay("find-my-way, loose", LOOSE),
    ofPathToRegexp("path-to-regexp on the target", (target) => target),
    ofPathToRegexp("path-to-regexp on new URL", urlPath),
    ofPathToRegexp("path-to-regexp on new URL, decoded", (target) =>
      decodeURIComponent(urlPath(target)),
    ),
  ];
}

function urlPath(target: string): string {
  return new URL(target, "http://origin.example").pathname;
}

function ofExpress4() {
  return express4()
    .all("/login", says("/login"))
    .use("/api", says("/api/*"))
    .all("/users/:id", says("/users/:id"))
    .all("/users/:id/mail", says("/users/:id/mail"))
    .all("/files/*.pdf", says("/Files/*.pdf"));
}

function ofExpress5() {
  const app = express();
  for (const [route, patterns] of Object.entries(MODERN)) {
    for (const pattern of patterns) app.all(pattern, says(route));
  }
  return app;
}

function ofKoa() {
  const router = new Router();
  for (const [route, patterns] of Object.entries(MODERN)) {
    router.all(patterns, (context: { set(name: string, value: string): void; status: number }) => {
      context.set(ROUTE_HEADER, route);
      context.status = 204;
    });
  }
  return new Koa().use(router.routes()).callback();
}

/** A server without a framework, as many a handler begins. */
function ofNode({ url = "" }: IncomingMessage, response: ServerResponse): void {
  const path = URL.parse(url, "http://origin.example")?.pathname;
  if (path === "/login") response.setHeader(ROUTE_HEADER, "/login");
  response.end();
}

/** What both versions have in common. */
interface FastifyApp {
  head(path: string, handler: FastifyHandler): unknown;
  ready(): PromiseLike<unknown>;
  routing(...request: Parameters<Parameters<typeof served>[1]>): void;
  close(): PromiseLike<unknown>;
}
type FastifyHandler = (request: { params: unknown }, reply: FastifyReply) => FastifyReply;
interface FastifyReply {
  header(name: string, value: string): FastifyReply;
  send(): FastifyReply;
}

async function ofFastify(name: string, app: FastifyApp): Promise<Reader> {
  for (const [route, patterns] of Object.entries(RADIX)) {
    for (const pattern of patterns) {
      app.head(pattern, ({ params }, reply) => {
        const { "*": rest } = params as { "*"?: string };
        return (isReached(route, rest) ? reply.header(ROUTE_HEADER, route) : reply).send();
      });
    }
  }
  await app.ready();
  const reader = await served(name, (request, response) => app.routing(request, response));
  return {
    ...reader,
    close: async () => {
      await reader.close?.();
      await app.close();
    },
  };
}

function ofHono(): Reader {
  const app = new Hono();
  for (const route of ["/login", "/api/*", "/users/:id", "/users/:id/mail"]) {
    app.all(route, (c) => c.body(null, 204, { [ROUTE_HEADER]: route }));
  }
  app.all("/files/:name{.+\\.pdf}", (c) => c.body(null, 204, { [ROUTE_HEADER]: "/Files/*.pdf" }));
  return {
    name: "Hono",
    read: (targets) =>
      Promise.all(
        targets.map(async (target) => {
          const { headers } = await app.request(`http://origin.example${target}`);
          return headers.get(ROUTE_HEADER) ?? undefined;
        }),
      ),
  };
}

function ofFindMyWay(name: string, options: object): Reader {
  const router = findMyWay(options);
  for (const [route, patterns] of Object.entries(RADIX)) {
    for (const pattern of patterns) router.on("GET", pattern, () => {}, route);
  }
  return inProcess(name, (target) => {
    const found = router.find("GET", target);
    return found && isReached(found.store, found.params["*"])
      ? (found.store as Reached)
      : undefined;
  });
}

function ofPathToRegexp(name: string, pathOf: (target: string) => string): Reader {
  const routes = Object.entries(MODERN).flatMap(([route, patterns]) =>
    patterns.map((pattern) => ({ route, matches: match(pattern) })),
  );
  return inProcess(name, (target) => {
    const path = pathOf(target);
    return routes.find(({ matches }) => matches(path))?.route;
  });
}
