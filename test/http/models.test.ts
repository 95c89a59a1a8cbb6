/**
 * Model providers behind the gate: the official clients, unmodified, streaming and not. What their
 * responses say is what is spent in the end.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";
import { startUpstream, type Upstream } from "./model-upstream.ts";

const LIMIT = 10_000;
const BYTES = 1_000_000;
/** What each request reserves. */
const ESTIMATE = 500;
const AT_ONCE = 50;
const PATIENCE_MS = 20_000;
const run = promisify(execFile);

let upstream: Upstream;
let gate: WorkerdServer;

beforeAll(async () => {
  upstream = await startUpstream();
  const each = { limit: LIMIT, window: "1d", key: ["header:X-Run"], cost: "json:max_tokens" };
  gate = await startGate({
    ORIGIN: upstream.url,
    TOKEN: "secret-1",
    POLICIES: JSON.stringify([
      { ...each, name: "chat", path: "/v1/chat/*", actual: "json:usage.total_tokens" },
      { ...each, name: "bytes", path: "/files/*", limit: BYTES, cost: 1000, actual: "bytes" },
      { ...each, name: "messages", path: "/v1/messages", actual: "json:usage.output_tokens" },
    ]),
  });
});
afterAll(async () => {
  await gate.stop();
  upstream.stop();
});

/** What the key has spent, once nothing is held any more. */
async function spentBy(run: string, policy: string): Promise<number> {
  const ask = async (call: string) => {
    const response = await fetch(`${gate.url}_turnpike/v1/${call}`, {
      method: "POST",
      headers: { Authorization: "Bearer secret-1" },
      body: JSON.stringify({ key: [run], policy }),
    });
    return (await response.json()) as { policies: { holds?: object; remaining: number }[] };
  };
  return vi.waitFor(
    async () => {
      const [explained] = (await ask("explain")).policies;
      expect(explained?.holds).toBeUndefined();
      const limit = policy === "bytes" ? BYTES : LIMIT;
      return limit - (explained?.remaining ?? Number.NaN);
    },
    { timeout: PATIENCE_MS, interval: 50 },
  );
}

const baseOf = () => gate.url.replace(/\/$/, "");
const headersOf = (name: string) => ({ "X-Run": name });
const openai = (name: string) =>
  new OpenAI({
    ...{ apiKey: "k", baseURL: `${baseOf()}/v1`, maxRetries: 0 },
    defaultHeaders: headersOf(name),
  });
const anthropic = (name: string) =>
  new Anthropic({
    ...{ apiKey: "k", baseURL: baseOf(), maxRetries: 0 },
    defaultHeaders: headersOf(name),
  });
const provider = (name: string) =>
  createOpenAICompatible({
    ...{ name: "upstream", apiKey: "k", baseURL: `${baseOf()}/v1`, includeUsage: true },
    headers: headersOf(name),
  });

/** Official clients. Each asks for a number of tokens, and returns how many it says were used. */
const CLIENTS: [string, string, (name: string, tokens: number) => Promise<number | undefined>][] = [
  [
    "openai",
    "chat",
    async (name, tokens) => {
      const { usage } = await openai(name).chat.completions.create({
        ...{ model: "m", max_tokens: ESTIMATE },
        messages: [{ role: "user", content: `${tokens}` }],
      });
      return usage?.total_tokens;
    },
  ],
  [
    "openai, streaming",
    "chat",
    async (name, tokens) => {
      const stream = await openai(name).chat.completions.create({
        ...{ model: "m", max_tokens: ESTIMATE, stream: true },
        stream_options: { include_usage: true },
        messages: [{ role: "user", content: `${tokens}` }],
      });
      let used: number | undefined;
      let text = "";
      for await (const { usage, choices } of stream) {
        used = usage?.total_tokens ?? used;
        text += choices[0]?.delta.content ?? "";
      }
      expect(text).toBe("Hé".repeat(5));
      return used;
    },
  ],
  [
    "@anthropic-ai/sdk",
    "messages",
    async (name, tokens) => {
      const { usage } = await anthropic(name).messages.create({
        ...{ model: "m", max_tokens: ESTIMATE },
        messages: [{ role: "user", content: `${tokens}` }],
      });
      return usage.output_tokens;
    },
  ],
  [
    "@anthropic-ai/sdk, streaming",
    "messages",
    async (name, tokens) => {
      const stream = anthropic(name).messages.stream({
        ...{ model: "m", max_tokens: ESTIMATE },
        messages: [{ role: "user", content: `${tokens}` }],
      });
      const { usage } = await stream.finalMessage();
      return usage.output_tokens;
    },
  ],
  [
    "ai",
    "chat",
    async (name, tokens) => {
      const model = provider(name)("m");
      const options = { maxOutputTokens: ESTIMATE, maxRetries: 0 };
      const { usage } = await generateText({ model, prompt: `${tokens}`, ...options });
      return usage.totalTokens;
    },
  ],
  [
    "ai, streaming",
    "chat",
    async (name, tokens) => {
      const model = provider(name)("m");
      const options = { maxOutputTokens: ESTIMATE, maxRetries: 0 };
      let failure: unknown;
      const onError = ({ error }: { error: unknown }) => {
        failure = error;
      };
      const result = streamText({ model, prompt: `${tokens}`, onError, ...options });
      await result.consumeStream();
      if (failure) throw failure;
      return (await result.usage).totalTokens;
    },
  ],
];

describe.each(CLIENTS)("%s", (_, policy, ask) => {
  it("is held to the limit, and charged what it used", async () => {
    const name = crypto.randomUUID();
    const asked = Array.from({ length: AT_ONCE }, (_, at) => 200 + ((at * 137) % 600));
    const ended = await Promise.allSettled(asked.map((tokens) => ask(name, tokens)));
    const used = ended.flatMap((each) => (each.status === "fulfilled" ? (each.value ?? []) : []));
    const refused = ended.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
    for (const error of refused) expect(error.status ?? error.statusCode).toBe(429);
    expect(refused.length).toBeGreaterThan(0);
    expect(used.length).toBeGreaterThanOrEqual(LIMIT / ESTIMATE);
    const total = used.reduce((sum, tokens) => sum + tokens, 0);
    const short = used.reduce((sum, tokens) => sum + Math.max(0, tokens - ESTIMATE), 0);
    expect(total).toBeLessThanOrEqual(LIMIT + short);
    // The API never tells more than the limit as spent.
    expect(await spentBy(name, policy)).toBe(Math.min(LIMIT, total));
  });

  it("is charged for requests one after another, too", async () => {
    const name = crypto.randomUUID();
    let total = 0;
    for (const tokens of [7, 700, 33]) total += (await ask(name, tokens)) ?? Number.NaN;
    expect(total).toBe(740);
    expect(await spentBy(name, policy)).toBe(total);
  });
});

describe("a stream", () => {
  it("passes as it comes, though its last event is waited for", async () => {
    const name = crypto.randomUUID();
    const held = Promise.withResolvers<void>();
    upstream.hold = held.promise;
    const stream = await openai(name).chat.completions.create({
      ...{ model: "m", max_tokens: ESTIMATE, stream: true },
      stream_options: { include_usage: true },
      messages: [{ role: "user", content: "77" }],
    });
    const pieces = stream[Symbol.asyncIterator]();
    expect((await pieces.next()).value?.choices[0]?.delta.content).toBe("Hé");
    held.resolve();
    upstream.hold = undefined;
    for (let left = true; left; ) left = !(await pieces.next()).done;
    expect(await spentBy(name, "chat")).toBe(77);
  });

  it("is charged if its client leaves, at the latest when more is sent", async () => {
    const name = crypto.randomUUID();
    const held = Promise.withResolvers<void>();
    upstream.hold = held.promise;
    const stream = await openai(name).chat.completions.create({
      ...{ model: "m", max_tokens: ESTIMATE, stream: true },
      messages: [{ role: "user", content: "77" }],
    });
    await stream[Symbol.asyncIterator]().next();
    stream.controller.abort();
    held.resolve();
    upstream.hold = undefined;
    // The gate may still have read the last event.
    expect([ESTIMATE, 77]).toContain(await spentBy(name, "chat"));
  });
});

describe("a request whose body tells its cost", () => {
  it.each(["small", "large"])("reaches the origin as it is, %s", async (size) => {
    const messages = [{ role: "user", content: `5${"ü".repeat(size === "large" ? 900_000 : 0)}` }];
    const body = JSON.stringify({ model: "m", max_tokens: 3, messages });
    const response = await fetch(`${gate.url}v1/chat/completions`, {
      ...{ method: "POST", body },
      headers: headersOf(crypto.randomUUID()),
    });
    expect(await response.json()).toMatchObject({ usage: { total_tokens: 5 } });
    expect(upstream.last.body).toBe(body);
    expect(upstream.last.headers["content-length"]).toBe(`${Buffer.byteLength(body)}`);
    expect(upstream.last.headers["transfer-encoding"]).toBeUndefined();
  });
});

describe("bytes", () => {
  it.each([
    ["a body with its length", ["files/plain"]],
    ["one in chunks", ["files/chunked"]],
    ["one that stays encoded", ["files/gzip"]],
    ["one that the client decodes", ["files/gzip", "--compressed"]],
    ["none", ["files/none"]],
    ["none of a HEAD", ["files/plain", "--head"]],
  ])("are those that curl counts: %s", async (_, [path, ...options]) => {
    const name = crypto.randomUUID();
    const asked = ["-s", "-o", "/dev/null", "-w", "%{size_download}", "-H", `X-Run: ${name}`];
    const { stdout } = await run("curl", [...asked, ...options, gate.url + path]);
    expect(await spentBy(name, "bytes")).toBe(Number(stdout));
  });
});
