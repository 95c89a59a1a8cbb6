/** Writes `Cache-Status` (RFC 9211), which says what this cache did with a request. Pure. */

/** What happened. `hit` and `forward` exclude each other. */
export interface CacheStatus {
  hit?: boolean;
  /** Why the request went on to the handler. */
  forward?: "bypass" | "method" | "uri-miss" | "vary-miss" | "miss" | "request" | "stale";
  /** The handler's status, if it differs from the status that the client gets. */
  forwardStatus?: number;
  /** How long the response is still fresh; negative when it is stale. */
  ttlMs?: number;
  stored?: boolean;
  /** Whether the answer was made for another request, which came at the same time. */
  collapsed?: boolean;
  /** Why nothing was stored. */
  detail?: string;
}

/** @returns such as `turnpike; hit; ttl=4`, behind what caches nearer to the origin wrote */
export function cacheStatus(inner: string | null, status: CacheStatus): string {
  const { hit, forward, forwardStatus, ttlMs, stored, collapsed, detail } = status;
  const own = [
    "turnpike",
    hit && "hit",
    forward && `fwd=${forward}`,
    forwardStatus && `fwd-status=${forwardStatus}`,
    ttlMs !== undefined && `ttl=${Math.floor(ttlMs / 1_000)}`,
    stored && "stored",
    collapsed && "collapsed",
    detail && `detail=${detail}`,
  ];
  const text = own.filter((part) => part).join("; ");
  return inner ? `${inner}, ${text}` : text;
}
