/**
 * What a request takes comes back, however it ends and whenever its client leaves: against a
 * workerd with nothing in front, since the proxy of `wrangler dev` hides a client that leaves.
 */
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { brotliCompressSync, brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

const LIMIT = 1_000;
const SHARED_LIMIT = 1_000_000;
/** More than a busy machine takes to settle a burst of requests. */
const SETTLED_MS = 10_000;

let server: WorkerdServer;
let client = 0;
const agent = new Agent({ keepAlive: false });

beforeAll(async () => {
  server = await startWorkerd({
    script: await bundleFile("test/http/in-flight-worker.ts"),
    vars: { DEADLINE: "10s" },
    hasObjects: true,
  });
});

afterAll(() => server.stop());

type Headers = Record<string, string>;

async function send(path: string, headers: Headers = {}, method = "GET"): Promise<IncomingMessage> {
  const sent = request(`${server.url}${path}`, { agent, headers, method }).end();
  const [incoming] = (await once(sent, "response")) as [IncomingMessage];
  return incoming;
}

async function get(path: string, headers: Headers = {}, method = "GET") {
  const incoming = await send(path, headers, method);
  let body = "";
  for await (const piece of incoming) body += piece;
  return { status: incoming.statusCode, headers: incoming.headers, body };
}

async function control<Value>(what: string): Promise<Value> {
  return JSON.parse((await get(`control/${what}`)).body) as Value;
}

/** Returns what a policy has left, as soon as it is the wanted number, or at last. */
async function settled(policy: string, wanted: number): Promise<number> {
  for (const endMs = Date.now() + SETTLED_MS; ; await sleep(50)) {
    const { policies } = await control<{ policies: { remaining: number }[] }>(policy);
    const remaining = policies[0]?.remaining ?? Number.NaN;
    if (remaining === wanted || Date.now() > endMs) return remaining;
  }
}

/** Sends a request through a socket of its own, and resets it. */
async function sendAndReset(path: string, method: string, afterMs: number, headers: Headers = {}) {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  const lines = Object.entries({ Host: "gate.example", ...headers });
  socket.on("error", () => {});
  socket.write(
    `${method} /${path} HTTP/1.1\r\n${lines.map((line) => line.join(": ")).join("\r\n")}\r\n\r\n`,
  );
  await once(socket, "connect");
  socket.resume();
  await sleep(afterMs);
  socket.resetAndDestroy();
}

const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": Buffer.alloc(16).toString("base64"),
};

/** When a client leaves: how long its owner takes, and after how many milliseconds it is gone. */
const STAGES = {
  "as it comes": { ownerMs: 0, afterMs: () => 0 },
  "while the owner is asked": { ownerMs: 40, afterMs: () => 5 + Math.random() * 30 },
  "around the owner's answer": { ownerMs: 5, afterMs: () => Math.random() * 12 },
  "in the handler": { ownerMs: 0, afterMs: () => 10 + Math.random() * 40 },
  "in the body": { ownerMs: 0, afterMs: () => 80 + Math.random() * 200 },
};
type Stage = keyof typeof STAGES;

const ENDS: [string, string, string, Headers?][] = [
  ["GET", "at-once", "GET"],
  ["GET of a slow handler", "slow", "GET"],
  ["HEAD", "slow", "HEAD"],
  ["HEAD of an endless body", "drip", "HEAD"],
  ["no body", "nothing", "GET"],
  ["an error", "throw", "GET"],
  ["something thrown that is no error", "throw-text", "GET"],
  ["an endless body", "drip", "GET"],
  ["server-sent events", "events", "GET"],
  ["a body that nobody reads", "large", "GET"],
  ["POST", "slow", "POST"],
  ["a WebSocket", "socket", "GET", UPGRADE],
];

async function setOwner(ms: number) {
  await get(`control/owner?ms=${ms}`);
}

describe("a slot", () => {
  it("is free as soon as its request has ended, whatever the response is, also a socket that nobody asked for", async () => {
    await setOwner(0);
    for (const place of ["slots", "replaced"]) {
      for (const [, path, method] of ENDS) {
        if (["drip", "events"].includes(path) && method === "GET" && place === "slots") continue;
        await get(`${place}/${path}`, {}, method);
      }
    }
    expect(await settled("slots", LIMIT)).toBe(LIMIT);
  });

  describe.each(Object.keys(STAGES) as Stage[])("of a client that leaves %s", (stage) => {
    it.each(ENDS)("comes back: %s", async (_, path, method, headers) => {
      const { ownerMs, afterMs } = STAGES[stage];
      await setOwner(ownerMs);
      const places = headers ? ["slots"] : ["slots", "replaced"];
      await Promise.all(
        Array.from({ length: 12 }, (_, n) =>
          sendAndReset(`${places[n % places.length]}/${path}`, method, afterMs(), headers),
        ),
      );
      await setOwner(0);
      expect(await settled("slots", LIMIT)).toBe(LIMIT);
    });
  });
});

describe.each(["slots", "replaced", "tagged", "timed", "zipped"])("a client of %s", (place) => {
  it.each(["idle-events", "silent", "idle-transform"])(
    "that leaves %s frees its slot",
    async (path) => {
      await setOwner(0);
      await Promise.all(
        Array.from({ length: 5 }, () => sendAndReset(`${place}/${path}`, "GET", 150)),
      );
      expect(await settled("slots", LIMIT)).toBe(LIMIT);
    },
  );
});

describe("requests of all kinds", () => {
  it("leave nothing behind, in whatever order they come and go", async () => {
    const places = ["slots", "replaced", "tagged", "timed"];
    const pick = <Item>(items: readonly Item[]) =>
      items[Math.floor(Math.random() * items.length)] as Item;
    const tried: string[] = [];
    for (let round = 0; round < 6; round++) {
      await setOwner(pick([0, 0, 5, 30]));
      await Promise.all(
        Array.from({ length: 40 }, async () => {
          const [, path, method, headers] = pick(ENDS);
          const place = headers ? "slots" : pick(places);
          const afterMs = Math.random() * pick([5, 60, 300]);
          tried.push(`${method} ${place}/${path} ${afterMs}`);
          await sendAndReset(`${place}/${path}`, method, afterMs, headers);
        }),
      );
    }
    await setOwner(0);
    expect(await settled("slots", LIMIT), tried.join("\n")).toBe(LIMIT);
  });
});

describe("a response that a middleware further out changes", () => {
  it("frees its slot: a timeout, and a tag that matches", async () => {
    expect((await get("timed/slow")).body).toBe("Gateway Timeout");
    const { headers, status } = await get("tagged/at-once");
    expect(status).toBe(200);
    const again = await get("tagged/at-once", { "If-None-Match": headers.etag as string });
    expect(again.status).toBe(304);
    expect(await settled("slots", LIMIT)).toBe(LIMIT);
  });
});

it("refuses dots that Hono's router does not resolve, and reads backslashes as it does", async () => {
  const [, port = ""] = server.url.match(/:(\d+)/) ?? [];
  const statusOf = async (path: string) => {
    const sent = request({ host: "127.0.0.1", port, path }).end();
    const [incoming] = (await once(sent, "response")) as [IncomingMessage];
    incoming.resume();
    return incoming.statusCode;
  };
  await statusOf("/once/a");
  expect(await statusOf("/once/a")).toBe(429);
  for (const path of ["/once/../a", "/once/./../b", "/%6fnce/%2e%2e/c", "/once/b\\.."]) {
    expect(await statusOf(path), path).toBe(400);
  }
  expect(await statusOf("/once/b\\c")).toBe(429);
});

it("sends a client nowhere whose host cannot be read", async () => {
  const statusOf = async (Host: string) => (await get("away/x", { Host })).status;
  expect([await statusOf("gate.example"), await statusOf("<x>")]).toEqual([303, 429]);
});

it("refuses a host that hides the path from a policy", async () => {
  const statusOf = async (Host: string) => (await get("once/at-once", { Host })).status;
  await statusOf("gate.example");
  expect(await statusOf("gate.example")).toBe(429);
  for (const host of ["gate.example#", "gate.example?", "a\\b", "a b", "^", "%", "<x>"]) {
    expect(await statusOf(host), host).toBe(400);
  }
});

describe("an encoded body that a handler passes on", () => {
  it("has its bytes where fetch left them, and else a tag that says that it may not", async () => {
    const bytes = brotliCompressSync("again and again. ".repeat(40));
    const origin = createServer((_, outgoing) => {
      outgoing.writeHead(200, { "Content-Encoding": "br", ETag: '"strong"' }).end(bytes);
    }).listen(0, "127.0.0.1");
    await once(origin, "listening");
    const from = `http://127.0.0.1:${(origin.address() as AddressInfo).port}/`;
    const answers = [];
    for (const path of [`fetched?raw=1&from=${from}`, `fetched?from=${from}`]) {
      const incoming = await send(`slots/${path}`, { "Accept-Encoding": "br" });
      const pieces: Buffer[] = [];
      for await (const piece of incoming) pieces.push(piece);
      const { etag, "content-encoding": encoding } = incoming.headers;
      const body = Buffer.concat(pieces);
      answers.push({
        etag,
        encoding,
        isSame: body.equals(bytes),
        text: brotliDecompressSync(body),
      });
    }
    origin.close();
    const [raw, anew] = answers;
    expect(raw).toMatchObject({ encoding: "br", isSame: true });
    expect(anew).toMatchObject({ encoding: "br", etag: 'W/"strong"', text: raw?.text });
  });
});

describe("concurrency", () => {
  it("keeps the length of a handler's body", async () => {
    for (const [path, length] of [
      ["at-once", 7],
      ["large", 16_000_000],
    ] as const) {
      const { headers, body } = await get(`slots/${path}`);
      expect([headers["content-length"], body.length]).toEqual([String(length), length]);
    }
  });

  /** Requests of one client of its own, under a limit of 2. */
  const asNewClient = () => {
    const headers = { "CF-Connecting-IP": `192.0.2.${++client}` };
    return (path: string) => get(`limit-2/${path}`, headers);
  };

  it("never has three in flight at limit 2, and frees a slot as each ends", async () => {
    const ask = asNewClient();
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => {
        for (;;) {
          const { status } = await ask("slow");
          if (status === 200) return status;
          await sleep(20);
        }
      }),
    );
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200]);
    expect(await control("most?path=/limit-2/slow")).toBe(2);
  });

  it("tells the third to come back, with the draft's unit", async () => {
    const ask = asNewClient();
    const all = await Promise.all([ask("slow"), ask("slow"), ask("slow")]);
    const denied = all.find(({ status }) => status === 429);
    expect(all.map(({ status }) => status).sort()).toEqual([200, 200, 429]);
    expect(denied?.headers["ratelimit-policy"]).toBe('"two";q=2;qu="concurrent-requests"');
    expect(Number(denied?.headers["retry-after"])).toBeGreaterThan(0);
  });

  it("frees the slot of a holder that vanished after the window", async () => {
    const ask = asNewClient();
    const hanging = [ask("hang"), ask("hang")];
    await sleep(300);
    expect((await ask("slow")).status).toBe(429);
    const startMs = Date.now();
    while ((await ask("slow")).status !== 200) await sleep(50);
    expect(Date.now() - startMs).toBeGreaterThan(1_500);
    await Promise.all(hanging);
  });
});

describe("a WebSocket", () => {
  const open = async (path = "slots/socket") => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}${path}`);
    await once(socket, "open");
    return socket;
  };

  it("holds a slot for as long as it is open", async () => {
    const sockets = await Promise.all([open(), open(), open()]);
    expect(await settled("slots", LIMIT - 3)).toBe(LIMIT - 3);
    await sleep(500);
    expect(await settled("slots", LIMIT - 3)).toBe(LIMIT - 3);
    const [closing, closed, reset] = sockets as [WebSocket, WebSocket, WebSocket];
    closing.close(4_002, "done");
    expect(await settled("slots", LIMIT - 2)).toBe(LIMIT - 2);
    const end = once(closed, "close");
    closed.send("bye");
    expect(await settled("slots", LIMIT - 1)).toBe(LIMIT - 1);
    expect(String((await end)[1])).toBe("bye");
    reset.terminate();
    expect(await settled("slots", LIMIT)).toBe(LIMIT);
  });

  it("is refused if no slot is left", async () => {
    const path = "limit-2/socket";
    const sockets = await Promise.all([open(path), open(path)]);
    const third = new WebSocket(`${server.url.replace("http", "ws")}${path}`);
    const [, refusal] = (await once(third, "unexpected-response")) as [unknown, IncomingMessage];
    expect(refusal.statusCode).toBe(429);
    third.on("error", () => {}).terminate();
    for (const socket of sockets) socket.close();
  });
});

describe("a request under policies with several keys", () => {
  it("costs the shared policy nothing if its client leaves before the handler", async () => {
    for (const ownerMs of [0, 4, 30]) {
      await setOwner(ownerMs);
      await Promise.all(
        Array.from({ length: 60 }, (_, n) =>
          sendAndReset("shared/at-once", "GET", Math.random() * 2 * ownerMs, {
            // Every other one is over its own limit.
            "X-Client": n % 2 ? "greedy" : `${++client}`,
          }),
        ),
      );
    }
    await setOwner(0);
    await sleep(500);
    const reached = await control<number>("reached?path=/shared/at-once");
    expect(await settled("shared", SHARED_LIMIT - reached)).toBe(SHARED_LIMIT - reached);
  });

  it("costs the shared policy nothing if its client leaves while it is held", async () => {
    await setOwner(0);
    const before = (await control<{ policies: { remaining: number }[] }>("shared")).policies[0]
      ?.remaining as number;
    const startMs = Date.now();
    await Promise.all(Array.from({ length: 20 }, () => sendAndReset("queued/at-once", "GET", 100)));
    const reached = await control<number>("reached?path=/queued/at-once");
    expect(await settled("shared", before - reached)).toBe(before - reached);
    expect(reached).toBeLessThan(2 + (Date.now() - startMs) / 1_000);
  });
});
