/**
 * An upstream that answers as model providers do, in OpenAI's and Anthropic's formats, streaming or
 * not. A request says in its first message how many tokens it will use.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";

interface Asked {
  model: string;
  stream?: boolean;
  messages: { content: string | { text: string }[] }[];
}

export interface Upstream {
  url: string;
  /** What was received last. */
  last: { body: string; headers: IncomingMessage["headers"] };
  /** Streams of completions wait for it after their first piece. */
  hold: Promise<void> | undefined;
  stop(): void;
}

const PIECES = 5;
const MOST_MS = 60;

export async function startUpstream(): Promise<Upstream> {
  const last: Upstream["last"] = { body: "", headers: {} };
  const upstream: Upstream = { url: "", last, hold: undefined, stop };
  const server: Server = createServer(async (incoming, outgoing) => {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    last.body = Buffer.concat(pieces).toString();
    last.headers = incoming.headers;
    const { pathname } = new URL(incoming.url ?? "/", "http://upstream");
    if (pathname === "/v1/chat/completions") return complete(upstream, incoming, outgoing);
    if (pathname === "/v1/messages") return answer(last.body, outgoing);
    sendFile(pathname, outgoing);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  upstream.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return upstream;

  function stop() {
    server.closeAllConnections();
    server.close();
  }
}

/**
 * Sends a file, as its path says: `/files/gzip`, `/files/chunked`, `/files/none`, or with a length.
 */
function sendFile(path: string, outgoing: ServerResponse): void {
  const text = "turnpike ".repeat(20_000);
  if (path.endsWith("none")) outgoing.writeHead(204).end();
  else if (path.endsWith("gzip")) {
    outgoing.writeHead(200, { "Content-Encoding": "gzip", "Content-Type": "text/plain" });
    outgoing.end(gzipSync(text));
  } else if (path.endsWith("chunked")) {
    outgoing.write(text);
    outgoing.end(text);
  } else outgoing.writeHead(200, { "Content-Length": text.length }).end(text);
}

/** How many tokens the first message asks for: its first number. */
function tokensIn({ messages }: Asked): number {
  const [first] = messages;
  const text = typeof first?.content === "string" ? first.content : first?.content[0]?.text;
  return Number(/\d+/.exec(text ?? "")?.[0]);
}

async function complete(upstream: Upstream, incoming: IncomingMessage, outgoing: ServerResponse) {
  const asked = JSON.parse(upstream.last.body) as Asked;
  const total_tokens = tokensIn(asked);
  const usage = { prompt_tokens: 1, completion_tokens: total_tokens - 1, total_tokens };
  const head = { id: "chatcmpl-1", created: 1_700_000_000, model: asked.model };
  await sleep(Math.random() * MOST_MS);
  if (!asked.stream) {
    const message = { role: "assistant", content: "Hello" };
    const choices = [{ index: 0, message, finish_reason: "stop", logprobs: null }];
    const json = JSON.stringify({ ...head, object: "chat.completion", choices, usage });
    outgoing.setHeader("Content-Type", "application/json");
    if (!String(incoming.headers["accept-encoding"]).includes("gzip")) return outgoing.end(json);
    outgoing.setHeader("Content-Encoding", "gzip");
    return outgoing.end(gzipSync(json));
  }
  outgoing.setHeader("Content-Type", "text/event-stream; charset=utf-8");
  const send = (choices: object[], usageOrNull: object | null) => {
    const chunk = { ...head, object: "chat.completion.chunk", choices, usage: usageOrNull };
    outgoing.write(`data: ${JSON.stringify(chunk)}\n\n`);
  };
  for (let piece = 0; piece < PIECES; piece++) {
    send([{ index: 0, delta: { role: "assistant", content: "Hé" }, finish_reason: null }], null);
    await upstream.hold;
    await sleep((Math.random() * MOST_MS) / PIECES);
  }
  send([{ index: 0, delta: {}, finish_reason: "stop" }], null);
  send([], usage);
  outgoing.end("data: [DONE]\n\n");
}

async function answer(body: string, outgoing: ServerResponse) {
  const asked = JSON.parse(body) as Asked;
  const output_tokens = tokensIn(asked);
  const message = {
    ...{ id: "msg_1", type: "message", role: "assistant", model: asked.model },
    ...{ stop_reason: null, stop_sequence: null },
  };
  await sleep(Math.random() * MOST_MS);
  if (!asked.stream) {
    const content = [{ type: "text", text: "Hello" }];
    const usage = { input_tokens: 9, output_tokens };
    outgoing.setHeader("Content-Type", "application/json");
    outgoing.end(JSON.stringify({ ...message, content, stop_reason: "end_turn", usage }));
    return;
  }
  outgoing.setHeader("Content-Type", "text/event-stream; charset=utf-8");
  const send = (type: string, fields: object) =>
    outgoing.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  const usage = { input_tokens: 9, output_tokens: 1 };
  send("message_start", { message: { ...message, content: [], usage } });
  send("content_block_start", { index: 0, content_block: { type: "text", text: "" } });
  for (let piece = 0; piece < PIECES; piece++) {
    send("content_block_delta", { index: 0, delta: { type: "text_delta", text: "Hé" } });
    await sleep((Math.random() * MOST_MS) / PIECES);
  }
  send("content_block_stop", { index: 0 });
  const delta = { stop_reason: "end_turn", stop_sequence: null };
  send("message_delta", { delta, usage: { output_tokens } });
  send("message_stop", {});
  outgoing.end();
}
