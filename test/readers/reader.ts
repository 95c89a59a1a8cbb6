/**
 * Readers: origins that are asked which of their routes a target reaches.
 *
 * All have the same routes, those of `ROUTES`, each as its own users would write them.
 */
import { once } from "node:events";
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** A route's pattern as the policy for it has it; undefined where none is reached. */
export type Reached = string | undefined;

export interface Reader {
  name: string;
  /** Where it listens, if it is a server. */
  port?: number;
  /** Returns which route each of the targets reaches. */
  read(targets: readonly string[]): Promise<Reached[]> | Reached[];
  close?(): Promise<void>;
}

/** The header in which a server names the route that was reached. */
export const ROUTE_HEADER = "X-Route";

const SOCKETS = 8;
/** Requests that are on their way on one connection. */
const PIPELINED = 64;

/** Makes a reader of a function that gives what reaches a route, one target at a time. */
export function inProcess(name: string, read: (target: string) => Reached): Reader {
  return {
    name,
    read: (targets) =>
      targets.map((target) => {
        try {
          return read(target);
        } catch {
          // An origin that throws has reached nothing.
          return undefined;
        }
      }),
  };
}

/** Serves an app on a free port of the loopback, and returns a reader that asks it. */
export async function served(name: string, app: RequestListener): Promise<Reader> {
  const server = createServer({ maxHeaderSize: 65_536 }, app).listen(0, "127.0.0.1");
  // Each pipelined request listens to its connection.
  server.on("connection", (socket) => socket.setMaxListeners(0));
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    name,
    port,
    read: (targets) => ask(port, targets),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The handler of a route in a Node server. */
export function says(route: string) {
  return (_: unknown, response: ServerResponse): void => {
    response.setHeader(ROUTE_HEADER, route).end();
  };
}

/** Asks a server by HEAD, byte for byte, so that no client tidies up a target. */
export async function ask(port: number, targets: readonly string[]): Promise<Reached[]> {
  const reached: Reached[] = new Array(targets.length);
  let next = 0;
  await Promise.all(Array.from({ length: SOCKETS }, work));
  return reached;

  async function work(): Promise<void> {
    while (next < targets.length) {
      let at = next;
      next = Math.min(at + PIPELINED, targets.length);
      const end = next;
      while (at < end) {
        for (const answer of await pipeline(port, targets.slice(at, end))) reached[at++] = answer;
      }
    }
  }
}

/** Returns as many answers as the server gave before it closed the connection; at least one. */
function pipeline(port: number, targets: readonly string[]): Promise<Reached[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1").setEncoding("latin1");
    const answers: Reached[] = [];
    let received = "";
    socket.on("data", (text) => {
      received += text;
      for (let end = received.indexOf("\r\n\r\n"); end >= 0; end = received.indexOf("\r\n\r\n")) {
        const head = received.slice(0, end);
        received = received.slice(end + 4);
        // Some refuse with a body, even to a HEAD, and close.
        if (head.startsWith("HTTP/")) answers.push(/^X-Route: (.*)$/im.exec(head)?.[1]);
      }
      if (answers.length >= targets.length) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      if (answers.length === 0) answers.push(undefined);
      resolve(answers.slice(0, targets.length));
    });
    const requests = targets.map(
      (target) => `HEAD ${target} HTTP/1.1\r\nHost: origin.example\r\n\r\n`,
    );
    socket.write(requests.join(""), "latin1");
  });
}
