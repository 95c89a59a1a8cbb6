/**
 * Passes a WebSocket's messages on, so that its end is seen.
 *
 * The runtime connects the two ends of a forwarded socket by itself and tells nobody when they part,
 * so here both are accepted. The price: messages go through this isolate, which answers pings for
 * both ends and keeps in memory what a slow reader has not taken, without a bound. A message may
 * have 32 MiB. An end that vanishes without a close frame is told to the other as 1001, "going
 * away", where it would see 1006.
 */

const NO_STATUS = 1005;
const GOING_AWAY = 1001;
/** Codes that stand for the lack of a close frame and may not be sent (RFC 6455, section 7.4.1). */
const UNSENDABLE = [1004, 1006, 1015];

/**
 * Accepts a socket and passes on all that comes.
 *
 * @returns the response that gives its client a socket in place of it, and when either end closes
 */
export function relaySocket(response: Response, far: WebSocket): [Response, Promise<void>] {
  const { 0: given, 1: near } = new WebSocketPair();
  const { promise, resolve } = Promise.withResolvers<void>();
  passOn(far, near, resolve);
  passOn(near, far, resolve);
  far.accept({ allowHalfOpen: true });
  near.accept({ allowHalfOpen: true });
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
