/**
 * Relays a WebSocket's messages, to see when it closes.
 *
 * The runtime connects the two ends of a forwarded socket and does not say when they close. So the
 * relay accepts both. The price: messages go through this isolate. It answers pings for both ends,
 * and buffers what a slow reader has not taken, without a bound. A message has at most 32 MiB.
 * If one end vanishes without a close frame, the other sees 1001, "going away", instead of 1006.
 */

import { WORKERS } from "../../runtime.ts";

/**
 * How long it may take until the runtime connects the client: as long as the middlewares in front
 * take. If the client's handshake is not complete, the runtime never does, and tells nobody.
 */
const MAX_CONNECTING_MS = 4_000;
const NO_STATUS = 1005;
const GOING_AWAY = 1001;
/** Codes that must not be sent in a close frame (RFC 6455, section 7.4.1). */
const UNSENDABLE = [1004, 1006, 1015];

/**
 * Accepts a socket and relays its messages.
 *
 * @returns the response for the client, and a promise that resolves when either end closes
 */
export function relaySocket(response: Response, far: WebSocket): [Response, Promise<void>] {
  const { 0: given, 1: near } = new WebSocketPair();
  const { promise, resolve } = Promise.withResolvers<void>();
  passOn(far, near, resolve);
  passOn(near, far, resolve);
  far.accept({ allowHalfOpen: true });
  near.accept({ allowHalfOpen: true });
  const close = () => {
    // Throws if the client has it.
    given.accept();
    given.close(GOING_AWAY);
  };
  WORKERS.wait(MAX_CONNECTING_MS)
    .then(close)
    .catch(() => {});
  const { headers } = response;
  return [new Response(null, { status: 101, webSocket: given, headers }), promise];
}

function passOn(from: WebSocket, to: WebSocket, end: () => void): void {
  from.binaryType = "arraybuffer";
  from.addEventListener("message", ({ data }) => to.send(data));
  from.addEventListener("close", ({ code, reason }) => {
    end();
    if (code === NO_STATUS) to.close();
    else to.close(UNSENDABLE.includes(code) ? GOING_AWAY : code, reason);
  });
  from.addEventListener("error", end);
}
