/** Requests that are held, many at once: against a workerd with nothing in front. */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_HELD } from "../../src/http/waiting-room.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const LIMIT = 5;
const WINDOW_MS = 4_000;
const POLICIES = [
  { name: "window", path: "/window", limit: LIMIT, window: "4s", maxWait: "10s" },
  { name: "left", path: "/left", limit: LIMIT, window: "12s", start: "first", maxWait: "15s" },
  { name: "closed", path: "/closed", limit: 1, window: "1d", maxWait: "30s" },
  {
    name: "queue",
    path: "/queue",
    // So slow that even a busy machine sends faster than it drains: 40 ms for each request.
    limit: 1_000,
    window: "40s",
    algorithm: "leaky-bucket",
    burst: MAX_HELD + 400,
  },
];

let gate: WorkerdServer;
const agent = new Agent({ keepAlive: false, maxSockets: 5_000 });

beforeAll(async () => {
  gate = await startGate({ POLICIES: JSON.stringify(POLICIES) });
});

afterAll(() => gate.stop());

/** Counts the answers of each status as they come. */
function countStatuses(asked: Promise<Answer>[]): Record<number, number> {
  const counts: Record<number, number> = { 200: 0, 429: 0 };
  for (const answer of asked) {
    // One whose client leaves has no answer.
    answer.then(
      ({ status }) => {
        counts[status] = (counts[status] ?? 0) + 1;
      },
      () => {},
    );
  }
  return counts;
}

interface Answer {
  status: number;
  retryAfterMs: number;
  afterMs: number;
}

interface Asking {
  /** Called once the request is with the system. */
  onSent?: () => void;
  /** Ends the connection. */
  signal?: AbortSignal;
}

async function ask(path: string, client: string, asking: Asking = {}): Promise<Answer> {
  const startMs = Date.now();
  const { onSent = () => {}, signal } = asking;
  const headers = { "CF-Connecting-IP": client };
  const options = { agent, headers, ...(signal && { signal }) };
  const sent = request(`${gate.url}${path}`, options).on("finish", onSent).end();
  const [incoming] = (await once(sent, "response")) as [IncomingMessage];
  const afterMs = Date.now() - startMs;
  incoming.resume();
  const retryAfterMs = 1_000 * Number(incoming.headers["retry-after"] ?? 0);
  return { status: incoming.statusCode as number, retryAfterMs, afterMs };
}

describe.concurrent("maxWait", () => {
  it("holds as many of a key as can pass within it, and refuses the rest at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => ask("window", "192.0.2.1")),
    );
    const passed = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status === 429);
    // Two or three more windows begin within 10 s.
    expect(passed.length).toBeGreaterThanOrEqual(3 * LIMIT);
    const last = Math.max(...passed.map(({ afterMs }) => afterMs));
    // Most of them: a busy machine may read some of them late.
    const early = refused.filter(({ afterMs }) => afterMs < last);
    expect(early.length).toBeGreaterThan(refused.length / 2);
    // Those that are held come first: the others are told when they will have passed.
    expect(Math.min(...refused.map(({ retryAfterMs }) => retryAfterMs))).toBeGreaterThan(WINDOW_MS);
  });

  it("tells the truth: a client that waits as told passes", async () => {
    const client = "192.0.2.2";
    const asked: Promise<Answer>[] = [];
    const allSent = Array.from(
      { length: 60 },
      () => new Promise<void>((onSent) => asked.push(ask("window", client, { onSent }))),
    );
    // One that came later could take the turn of the client that waits.
    await Promise.all(allSent);
    const last = await ask("window", client);
    // A busy machine may read it before some of the others, one of which is refused then.
    const all = last.status === 429 ? [last] : await Promise.all(asked);
    const told = all.find(({ status }) => status === 429) as Answer;
    await sleep(told.retryAfterMs);
    expect((await ask("window", client)).status).toBe(200);
    await Promise.all(asked);
  });

  it("refuses at once a request that no wait would help", async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask("closed", "192.0.2.3")));
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(49);
  });

  it("forgets requests whose clients have left", async () => {
    const port = Number(new URL(gate.url).port);
    const startMs = Date.now();
    for (let n = 0; n < 40; n++) {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      socket.write("GET /left HTTP/1.1\r\nHost: x\r\nCF-Connecting-IP: 192.0.2.4\r\n\r\n");
      await once(socket, "connect");
      setTimeout(() => socket.resetAndDestroy(), 300);
    }
    // A busy machine notices late that they have left. As long as they wait, there is no turn
    // for another request, until the next window begins after 12 s.
    let status = 429;
    while (status === 429 && Date.now() < startMs + 10_000) {
      await sleep(200);
      ({ status } = await ask("left", "192.0.2.4"));
    }
    expect(status).toBe(200);
  });
});

describe("an isolate", () => {
  it("holds a bounded number of requests for a leaky bucket, and refuses the rest at once", async () => {
    const leaving = new AbortController();
    const asked = Array.from({ length: MAX_HELD + 300 }, () =>
      ask("queue", "192.0.2.5", { signal: leaving.signal }),
    );
    const counts = countStatuses(asked);
    // As long as more are held, fewer are answered.
    await expect
      .poll(() => (counts[200] ?? 0) + (counts[429] ?? 0), { timeout: 50_000 })
      .toBeGreaterThanOrEqual(300);
    expect(counts[429]).toBeGreaterThan(0);
    await expect.poll(() => counts[200], { timeout: 50_000 }).toBeGreaterThan(0);
    leaving.abort();
    await Promise.allSettled(asked);
    expect(Object.keys(counts)).toEqual(["200", "429"]);
  });
});
