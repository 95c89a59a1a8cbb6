/**
 * The gate against going direct, byte for byte and header for header: the same requests, through
 * sockets, to real servers. What differs is named in `meant` and `asSeen`, and meant.
 *
 * The runtime differs by itself, as a Worker of three lines shows: it takes no body of unknown
 * length for a GET, says 100 before the origin does, drops 103 and trailers, and refuses a target
 * with bytes beyond ASCII.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { type Answer, type Ask, exchange, HOST } from "../origins/exchange.ts";
import {
  brokenServer,
  expressServer,
  fastifyServer,
  nginxServer,
  type Origin,
  plainServer,
  siteFolder,
} from "../origins/servers.ts";
import { startGate } from "./gate-server.ts";

const COUNTED = { limit: 1_000_000, window: "1d" };
const POLICIES = {
  "a quota": [COUNTED],
  "slots and charges": [
    { name: "slots", limit: 1_000, window: "1h", algorithm: "concurrency" },
    { name: "failures", ...COUNTED, charge: "failure" },
  ],
};

const KINDS: Ask["headers"][] = [
  [],
  ["Accept-Encoding: gzip"],
  ["Accept-Encoding: br"],
  ["Range: bytes=5-14"],
  ["Range: bytes=999999-"],
  ["If-Modified-Since: Wed, 25 Nov 2026 12:00:00 GMT"],
  ["If-None-Match: *"],
  ["If-Range: Wed, 25 Nov 2026 12:00:00 GMT", "Range: bytes=0-3"],
];

/** Each path by GET in all kinds, by HEAD and by OPTIONS. */
function asks(...paths: string[]): Ask[] {
  return paths.flatMap((path) => [
    ...KINDS.map((headers = []) => ({ line: `GET ${path}`, headers })),
    ...["HEAD", "OPTIONS", "DELETE"].map((method) => ({ line: `${method} ${path}` })),
  ]);
}

const STATUSES = [
  ...[200, 201, 202, 203, 206, 226, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405],
  ...[407, 408, 409, 410, 412, 416, 418, 422, 425, 426, 429, 431, 451, 499, 500, 501, 502, 503],
  ...[504, 511, 520, 599, 204, 304, 600, 700, 999],
];
const CODES = [301, 302, 303, 307, 308, 201];

/** A form, JSON, chunks, nothing, and more than one buffer holds. */
const UPLOADS: Ask[] = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY"].flatMap((method) => [
  { line: `${method} /up`, headers: ["Content-Length: 5"], body: "hello" },
  { line: `${method} /up`, headers: ["Content-Length: 0"] },
  {
    line: `${method} /up`,
    headers: ["Transfer-Encoding: chunked"],
    body: "5\r\nhello\r\n3\r\n!!!\r\n0\r\n\r\n",
  },
]);
const BIG = Buffer.alloc(5_000_000, "0123456789");

const PLAIN: Ask[] = [
  ...asks("/cookies", "/lines", "/gzip", "/br", "/no-gzip", "/gzip-stream", "/cors", "/hops"),
  ...STATUSES.map((code) => ({ line: `GET /status?code=${code}` })),
  ...CODES.flatMap((code) =>
    [
      "/next",
      "next?a=%2F",
      "https://elsewhere.example/x",
      "http://ORIGIN/next?a#b",
      "//ORIGIN/x",
    ].map((to) => ({ line: `GET /moved?code=${code}&to=${encodeURIComponent(to)}` })),
  ),
  ...UPLOADS,
  { line: "GET /up", headers: ["Content-Length: 5"], body: "hello" },
  { line: "PUT /up", headers: [`Content-Length: ${BIG.length}`], body: BIG },
  { line: "POST /up", headers: ["Content-Length: 5"], body: "hello", expects: true },
  { line: "POST /early", headers: ["Content-Length: 5"], body: "hello" },
  { line: "GET /events", headers: ["Accept: text/event-stream"] },
  { line: "GET /big" },
  { line: "GET /cut" },
  { line: "GET /cut-chunks" },
  { line: "GET /limited" },
  ...["/a%20b", "/%2F", "/?", "/?a=b&c=%zz", "/a;v=1", "/'()*!$&+,=:@~"].map((path) => ({
    line: `GET /echo${path}`,
  })),
  {
    line: "GET /echo",
    headers: [
      ...["Cookie: a=1; b=2", "Accept: text/html;q=0.5, */*", "X-Twice: 1", "X-Twice: 2"],
      ...["Authorization: Bearer x", "User-Agent: test", "X-Latin: caf\xe9", "Via: 1.1 other"],
      ...["Origin: https://app.example", "Referer: https://app.example/", "DNT: 1", "X-Empty:"],
    ],
  },
];

/** What an answer through the gate has to be, by what the server answers when asked directly. */
function meant(answer: Answer, { port }: Origin): Answer {
  const headers: Record<string, string> = {};
  for (const [name, values] of Object.entries(answer.headers)) {
    // These end at a proxy, and so does what `Connection` names; the clock goes on.
    if (/^(?:connection|keep-alive|proxy-authenticate|transfer-encoding|date)$/.test(name))
      continue;
    if (answer.headers.connection?.[0]?.toLowerCase().includes(name)) continue;
    // Lines of one header may be one line (RFC 9110, section 5.3), but for cookies.
    headers[name] = name === "set-cookie" ? values.join("\n") : values.join(", ");
  }
  const { location } = headers;
  if (location) {
    // The origin's own address is the gate's to a client; nginx writes `Host` and its own port.
    const own = new RegExp(`^(?:http:)?//(?:127\\.0\\.0\\.1|${HOST}):${port}`);
    headers.location = location.replace(own, `http://${HOST}`);
  }
  // Pages that may read the answer may read the fields.
  if (headers["access-control-allow-origin"]) {
    headers["access-control-expose-headers"] = "RateLimit, RateLimit-Policy, Retry-After";
  }
  return { ...answer, headers: fold(headers), body: asSeen(answer.body) };
}

interface Named {
  name?: string;
  limit: number;
}

/** The answer through the gate without what only a gate adds. */
function received(answer: Answer, policies: readonly Named[]): Answer {
  const headers: Record<string, string> = {};
  for (const [name, values] of Object.entries(answer.headers)) {
    if (/^(?:connection|transfer-encoding|date)$/.test(name)) continue;
    headers[name] = name === "set-cookie" ? values.join("\n") : values.join(", ");
  }
  for (const name of ["ratelimit", "ratelimit-policy"]) {
    const items = (headers[name] ?? "").split(", ");
    const names = policies.map((policy) => `"${policy.name ?? "default"}"`);
    const theirs = items.filter((item) => !names.some((own) => item.startsWith(own)));
    // A status that code cannot give leaves no way to write on it.
    const count = Number.parseInt(answer.status, 10) > 599 ? 0 : policies.length;
    if (items.length - theirs.length !== count) continue;
    delete headers[name];
    if (theirs.join("")) headers[name] = theirs.join(", ");
  }
  return { ...answer, headers: fold(headers), body: asSeen(answer.body) };
}

function fold(headers: Record<string, string>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
}

/** An echo, without what the origin learns from a gate only, and what ends there. */
function asSeen(body: string): string {
  if (!body.startsWith('{"method"')) return body;
  const seen = JSON.parse(body) as { headers: string[] };
  const lines = seen.headers.filter(
    (line) => !/^(?:host|connection|x-forwarded-(?:host|proto)|expect):/i.test(line),
  );
  const headers = lines.map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase())).sort();
  return JSON.stringify({ ...seen, headers });
}

const folder = siteFolder();
afterAll(() => folder[Symbol.dispose]());

const STATIC = ["/", "/file.txt", "/file.bin", "/page%20two.html", "/missing", "/index.html?a=b"];

interface Site {
  name: string;
  start: () => Promise<Origin | undefined>;
  asks: Ask[];
}

const SITES: Site[] = [
  { name: "Node's server", start: plainServer, asks: PLAIN },
  {
    name: "Express",
    start: () => expressServer(folder.path),
    asks: [
      ...asks("/json", "/text", "/redirect", "/login", "/throw", "/file", "/none"),
      {
        line: "POST /form",
        headers: ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 7"],
        body: "a=1&b=2",
      },
      {
        line: "PUT /json",
        headers: ["Content-Type: application/json", "Content-Length: 7"],
        body: '{"a":1}',
      },
      {
        line: "PUT /json",
        headers: ["Content-Type: application/json", "Content-Length: 2"],
        body: "{x",
      },
    ],
  },
  {
    name: "Express's static files",
    start: () => expressServer(folder.path),
    asks: asks(...STATIC.map((path) => `/static${path}`), "/static"),
  },
  {
    name: "Fastify",
    start: fastifyServer,
    asks: [
      ...asks("/json", "/text", "/redirect", "/stream", "/throw", "/none"),
      {
        line: "POST /json",
        headers: ["Content-Type: application/json", "Content-Length: 7"],
        body: '{"a":1}',
      },
    ],
  },
  {
    name: "nginx",
    start: () => nginxServer(folder.path),
    asks: [
      ...asks(...STATIC, "/moved", "/teapot"),
      { line: "TRACE /" },
      { line: "POST /file.txt" },
    ],
  },
];

describe.each(Object.entries(POLICIES))("under %s", (_, policies) => {
  describe.each(SITES)("$name", ({ start, asks }) => {
    let origin: Origin | undefined;
    let gate: WorkerdServer;

    beforeAll(async () => {
      origin = await start();
      gate = await startGate({
        ORIGIN: `http://127.0.0.1:${origin?.port ?? 1}`,
        POLICIES: JSON.stringify(policies),
      });
    });

    afterAll(async () => {
      await gate.stop();
      await origin?.close();
    });

    it("answers through the gate as it does directly", async () => {
      if (!origin) return;
      const differing: string[] = [];
      for (const ask of asks) {
        const direct = meant(await exchange(origin.port, ask), origin);
        const through = await exchange(Number(new URL(gate.url).port), ask);
        const difference = compare(direct, received(through, policies));
        if (difference) differing.push([ask.line, ...(ask.headers ?? []), difference].join(" | "));
      }
      expect(differing).toEqual([]);
    });
  });
});

/** Says where two answers differ. */
function compare(direct: Answer, through: Answer): string {
  const parts = (answer: Answer) => ({
    ...Object.fromEntries(
      Object.entries(answer.headers).map(([name, value]) => [name, `${value}`]),
    ),
    "status line": answer.status,
    body: answer.body,
    end: answer.isWhole ? "whole" : "cut",
  });
  const [one, other] = [parts(direct), parts(through)] as [
    Record<string, string>,
    Record<string, string>,
  ];
  return [...new Set([...Object.keys(one), ...Object.keys(other)])]
    .filter((name) => one[name] !== other[name])
    .map((name) => `${name}: ${one[name]?.slice(0, 400)} became ${other[name]?.slice(0, 400)}`)
    .join("; ");
}

describe.each(Object.entries(POLICIES))("under %s", (_, policies) => {
  it("a broken server's answers pass as far as they are answers, the rest is 502", async () => {
    const origin = await brokenServer();
    const gate = await startGate({
      ORIGIN: `http://127.0.0.1:${origin.port}`,
      POLICIES: JSON.stringify(policies),
    });
    const port = Number(new URL(gate.url).port);
    for (const path of ["/none", "/half-head", "/garbage"]) {
      const { status, headers } = await exchange(port, { line: `GET ${path}` });
      expect([path, status]).toEqual([path, "502 Bad Gateway"]);
      expect(headers["content-type"]).toEqual(["application/problem+json"]);
    }
    for (const path of ["/http-1.0", "/until-end", "/reason", "/no-reason"]) {
      const ask = { line: `GET ${path}` };
      const direct = meant(await exchange(origin.port, ask), origin);
      const through = received(await exchange(port, ask), policies);
      expect([path, compare(direct, through)]).toEqual([path, ""]);
    }
    await gate.stop();
    await origin.close();
  });

  it("a WebSocket is the same at both ends", async () => {
    const origin = await plainServer();
    const gate = await startGate({
      ORIGIN: `http://127.0.0.1:${origin.port}`,
      POLICIES: JSON.stringify(policies),
    });
    const direct = await talk(origin.port);
    expect(direct.protocol).toBe("two");
    expect(direct.close).toEqual([4321, "as asked"]);
    expect(await talk(Number(new URL(gate.url).port))).toEqual(direct);
    await gate.stop();
    await origin.close();
  });
});

/** Says several things into a WebSocket, and tells what came back. */
async function talk(port: number) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`, ["one", "two"]);
  await once(socket, "open");
  const heard: string[] = [];
  socket.on("message", (data, isBinary) => heard.push(`${isBinary} ${String(data)}`));
  const closed = once(socket, "close");
  for (const said of ["text", "", "é😀", Buffer.from([0, 1, 2]), "x".repeat(300_000), "close"]) {
    socket.send(said);
    await sleep(1);
  }
  const [code, reason] = await closed;
  return { protocol: socket.protocol, heard, close: [code, String(reason)] };
}
