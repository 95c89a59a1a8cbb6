/**
 * An answer is the same, byte for byte, whatever policy its request met: against an origin that
 * writes bytes of its own and a workerd with nothing in front.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const text = "the same bytes again and again. ".repeat(40);
const br = brotliCompressSync(text);
const gzip = gzipSync(text);

/** What the origin writes, by path: a head, and a body as it is. */
const ANSWERS: Record<string, [head: string, ...body: (string | Uint8Array)[]]> = {
  length: [
    "200 OK\r\nContent-Length: 5\r\nX-Latin: caf\xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2",
    "plain",
  ],
  reason: ["200 Quite Fine\r\nContent-Length: 0"],
  filename: [
    '200 OK\r\nContent-Disposition: attachment; filename="caf\xe9.txt"\r\nContent-Length: 1',
    "x",
  ],
  chunked: ["200 OK\r\nTransfer-Encoding: chunked", "5\r\nplain\r\n0\r\n\r\n"],
  unframed: ["200 OK", "until the end"],
  br: [`200 OK\r\nContent-Encoding: br\r\nETag: "strong"\r\nContent-Length: ${br.length}`, br],
  gzip: [
    `200 OK\r\nContent-Encoding: gzip\r\nETag: "strong"\r\nContent-Length: ${gzip.length}`,
    gzip,
  ],
  "br-chunked": [
    '200 OK\r\nContent-Encoding: br\r\nETag: "strong"\r\nTransfer-Encoding: chunked',
    `${br.length.toString(16)}\r\n`,
    br,
    "\r\n0\r\n\r\n",
  ],
  "not-gzip": ["200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5", "plain"],
  zstd: ["200 OK\r\nContent-Encoding: zstd\r\nContent-Length: 5", "plain"],
  twice: ["200 OK\r\nContent-Encoding: gzip, br\r\nContent-Length: 5", "plain"],
  part: [
    '206 Partial Content\r\nContent-Range: bytes 2-4/9\r\nETag: "x"\r\nContent-Length: 3',
    "art",
  ],
  "br-part": [
    `206 Partial Content\r\nContent-Encoding: br\r\nContent-Range: bytes 2-4/99\r\nContent-Length: 3`,
    br.subarray(2, 5),
  ],
  redirect: ["302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0"],
  "no-content": ["204 No Content"],
  reset: ["205 Reset Content\r\nContent-Length: 0"],
  "reset-with-body": ["205 Reset Content\r\nContent-Length: 5", "plain"],
  "not-modified": ['304 Not Modified\r\nETag: "x"\r\nContent-Length: 55'],
  failed: ["500 Internal Server Error\r\nContent-Length: 5", "plain"],
  "599": ["599 Odd\r\nContent-Length: 5", "plain"],
  "600": ["600 Odd\r\nContent-Length: 5", "plain"],
  "700": [
    "700 Odd\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked",
    "5\r\nplain\r\n0\r\n\r\n",
  ],
  "999": ["999 Request Denied\r\nContent-Length: 5\r\nX-Latin: caf\xe9", "plain"],
  cut: ["200 OK\r\nContent-Length: 50", "plain"],
};

const POLICIES = [
  { name: "counted", path: "/counted/*", limit: 1_000_000, window: "1d" },
  { name: "slots", path: "/slots/*", limit: 1_000, window: "1h", algorithm: "concurrency" },
  { name: "failure", path: "/failure/*", limit: 1_000, window: "1h", charge: "failure" },
  { name: "success", path: "/success/*", limit: 1_000, window: "1h", charge: "success" },
];

let origin: Server;
let gate: WorkerdServer;

beforeAll(async () => {
  origin = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", async (request) => {
      const name = /^\S+ \/\w+\/([\w-]+)/.exec(String(request))?.[1] ?? "";
      const [head, ...body] = ANSWERS[name] ?? ["404 Not Found\r\nContent-Length: 0"];
      socket.write(`HTTP/1.1 ${head}\r\nConnection: close\r\n\r\n`, "latin1");
      if (!String(request).startsWith("HEAD")) for (const piece of body) socket.write(piece);
      socket.end();
    });
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const { port } = origin.address() as AddressInfo;
  gate = await startGate({
    ORIGIN: `http://127.0.0.1:${port}`,
    POLICIES: JSON.stringify(POLICIES),
    TOKEN: "secret",
  });
});

afterAll(async () => {
  await gate.stop();
  origin.close();
});

/** Returns all that comes back, without the RateLimit fields, which differ by policy. */
async function answerTo(
  server: WorkerdServer,
  line: string,
  ...headers: string[]
): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.setEncoding("latin1").on("error", () => {});
  const host = headers.some((header) => header.startsWith("Host:")) ? [] : ["Host: gate.example"];
  const fields = [...host, "Connection: close", ...headers];
  socket.write(`${line} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
  let answer = "";
  socket.on("data", (piece) => {
    answer += piece;
  });
  await once(socket, "close");
  return answer.replace(/^RateLimit.*\r\n/gim, "");
}

describe("an answer", () => {
  const requests = Object.keys(ANSWERS).flatMap((name) =>
    ["GET", "HEAD"].flatMap((method) =>
      ["br, gzip", "identity", ""].map((accepted) => ({ name, method, accepted })),
    ),
  );

  it.each(["slots", "failure", "success"])("is the same under the policy %s", async (policy) => {
    const differing: string[] = [];
    for (const { name, method, accepted } of requests) {
      const headers = accepted ? [`Accept-Encoding: ${accepted}`] : [];
      const counted = await answerTo(gate, `${method} /counted/${name}`, ...headers);
      const answer = await answerTo(gate, `${method} /${policy}/${name}`, ...headers);
      if (answer !== counted) differing.push(`${method} ${name}: ${counted} became ${answer}`);
    }
    expect(differing).toEqual([]);
  });

  it("keeps a status that code cannot make, without the fields", async () => {
    for (const policy of ["counted", "slots", "failure", "success"]) {
      for (const status of [599, 600, 700, 999]) {
        for (const method of ["GET", "HEAD"]) {
          const answer = await answerTo(gate, `${method} /${policy}/${status}`);
          expect(answer, method).toMatch(`HTTP/1.1 ${status} `);
        }
      }
    }
  });

  it("is 400 if the host makes the path unreadable", async () => {
    for (const host of [
      "gate.example#",
      "gate.example?",
      "a\\b",
      "a b",
      "^",
      "%",
      "<x>",
      "a:b:c",
    ]) {
      const answer = await answerTo(gate, "GET /counted/599", `Host: ${host}`);
      expect(answer, host).toMatch("HTTP/1.1 400 ");
    }
  });

  it("gives back what its status does not cost, and its slot", async () => {
    const remaining = async (policy: string, key: string[]) => {
      const response = await fetch(`${gate.url}_turnpike/v1/peek`, {
        method: "POST",
        headers: { Authorization: "Bearer secret" },
        body: JSON.stringify({ key, policy }),
      });
      return ((await response.json()) as { remaining: number }).remaining;
    };
    const key = ["192.0.2.1"];
    const client = "CF-Connecting-IP: 192.0.2.1";
    const before = [await remaining("failure", key), await remaining("success", key)];
    for (const policy of ["slots", "failure", "success"]) {
      await answerTo(gate, `GET /${policy}/999`, client);
      await answerTo(gate, `GET /${policy}/length`, client);
    }
    await expect
      .poll(async () => [
        await remaining("slots", key),
        (before[0] as number) - (await remaining("failure", key)),
        (before[1] as number) - (await remaining("success", key)),
      ])
      .toEqual([1_000, 1, 1]);
  });
});
