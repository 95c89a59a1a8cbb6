/** One HTTP exchange over a socket of its own, and what came back, byte for byte. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface Ask {
  /** Such as `GET /path`. */
  line: string;
  headers?: readonly string[];
  body?: string | Uint8Array;
  /** Waits for the server's `100 Continue` before it sends the body. */
  expects?: boolean;
}

export interface Answer {
  /** Of the status line, without the version. */
  status: string;
  /** Names in small letters; the lines of one name in order. */
  headers: Record<string, string[]>;
  /** Without the chunks it came in, as latin1. */
  body: string;
  /** Did it come to its end? */
  isWhole: boolean;
}

export const HOST = "shop.example";

/** How long a server may take before an exchange counts as hung. */
const PATIENCE_MS = 20_000;

export async function exchange(port: number, ask: Ask): Promise<Answer> {
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  socket.on("error", () => {}).setTimeout(PATIENCE_MS, () => socket.destroy());
  let received = "";
  socket.on("data", (piece) => {
    received += piece;
  });
  const headers = [`Host: ${HOST}`, "Connection: close", ...(ask.headers ?? [])];
  if (ask.expects) headers.push("Expect: 100-continue");
  socket.write(`${ask.line} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`, "latin1");
  while (ask.expects && !received && !socket.destroyed) await sleep(5);
  if (ask.body) socket.write(ask.body);
  if (!socket.destroyed) await once(socket, "close");
  return parse(received.replace(/^(?:HTTP\/1\.1 1\d\d .*\r\n(?:.+\r\n)*\r\n)+/, ""), ask.line);
}

function parse(text: string, line: string): Answer {
  const at = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, Math.max(0, at)).split("\r\n");
  const headers: Record<string, string[]> = {};
  for (const field of lines) {
    const [, name = "", value = ""] = /^(.*?):\s*(.*?)\s*$/.exec(field) ?? [];
    headers[name.toLowerCase()] = [...(headers[name.toLowerCase()] ?? []), value];
  }
  const rest = text.slice(at + 4);
  const status = first.replace(/^HTTP\/1\.\d /, "");
  if (headers["transfer-encoding"]) return { status, headers, ...dechunked(rest) };
  const length = Number(headers["content-length"]?.[0] ?? rest.length);
  const isBodiless = line.startsWith("HEAD") || /^(?:204|304)/.test(status);
  return { status, headers, body: rest, isWhole: isBodiless || rest.length === length };
}

function dechunked(text: string): { body: string; isWhole: boolean } {
  let body = "";
  for (let at = 0; ; ) {
    const end = text.indexOf("\r\n", at);
    const size = end < 0 ? Number.NaN : Number.parseInt(text.slice(at, end), 16);
    if (!(size > 0)) return { body, isWhole: size === 0 };
    body += text.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
}
