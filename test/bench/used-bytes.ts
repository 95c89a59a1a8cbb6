/** The memory of an isolate, as the Chrome DevTools Protocol tells it. */
import { once } from "node:events";
import { WebSocket } from "ws";

interface HeapUsage {
  usedSize: number;
  backingStorageSize?: number;
}

/** Collects garbage, then returns what objects and their buffers take, bytes. */
export async function readUsedBytes(url: string): Promise<number> {
  const socket = new WebSocket(url);
  await once(socket, "open");
  try {
    await call(socket, 1, "HeapProfiler.enable");
    await call(socket, 2, "HeapProfiler.collectGarbage");
    const usage = await call<HeapUsage>(socket, 3, "Runtime.getHeapUsage");
    return usage.usedSize + (usage.backingStorageSize ?? 0);
  } finally {
    socket.close();
  }
}

async function call<Result>(socket: WebSocket, id: number, method: string): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const read = (data: Buffer) => {
    const answer = JSON.parse(String(data)) as { id?: number; result: Result };
    if (answer.id === id) resolve(answer.result);
  };
  socket.on("message", read);
  socket.send(JSON.stringify({ id, method }));
  const result = await promise;
  socket.off("message", read);
  return result;
}
