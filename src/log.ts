/**
 * The log: one line of JSON for each event, with no raw key and no secret in it.
 *
 * Log lines are billed, so no client may decide how many there are. `logSeldom` logs whatever a
 * request can cause, at most once a minute.
 */

/** Every event, and what it means. */
export type LogEvent =
  /** A response did not tell its cost as the policy's `actual` says; the estimate was charged. */
  | "actual-missing"
  /** An `actual` function threw; the estimate was charged. */
  | "actual-function-failed"
  /**
   * A part of what an owner had on disk was damaged. The rest counts, and decisions say
   * `exact: false` for as long as the part could matter.
   */
  | "checkpoint-damaged"
  /** An owner could not write its checkpoint; it tries again. */
  | "checkpoint-failed"
  /** An owner could not read its checkpoint and began without it. */
  | "checkpoint-refused"
  /**
   * Requests under a policy share one quota, since they lack an address or a value that its key
   * names.
   */
  | "clients-not-told-apart"
  /** A machine's clock was set back by over 1 s. Owners and isolates go on from where it was. */
  | "clock-set-back"
  /** A `cost` function threw or gave no cost; the request was answered with 500. */
  | "cost-function-failed"
  /** A request's body did not tell its cost as the policy's `cost` says; one unit was reserved. */
  | "estimate-missing"
  /** The owner of a hold did not answer; the hold ends by itself, and its units come back. */
  | "hold-unsettled"
  /** A full owner evicted counters before they expired. It says so once a minute at most. */
  | "counters-dropped"
  /** An owner has answered late for seconds, and never in time: raise `DEADLINE` above `tookMs`. */
  | "deadline-too-short"
  /** A `charge` function threw or gave no boolean; the response was charged. */
  | "charge-function-failed"
  /** A request was denied; `LOG_DENIALS` says what share of these is logged. */
  | "denied"
  /** The object that lists the owners of events did not answer. They count, and try again. */
  | "event-directory-silent"
  /** An isolate gave up a batch of events that its owner never took; they are not counted. */
  | "events-lost"
  /** An owner did not take a batch of events; it is sent again. */
  | "events-not-sent"
  /** An owner of events could not write them; it tries again. */
  | "events-not-written"
  /** A `key` function threw or gave no key; the request counted as `unknown`. */
  | "key-function-failed"
  /** A `limit` function threw or gave no limit; the request was answered with 500. */
  | "limit-function-failed"
  /** What the live page shows could not be read; its streams try again. */
  | "live-page-not-read"
  /** The origin did not answer; the client got a 502. */
  | "origin-failed"
  /** An owner did not answer, or gave an answer that makes no sense. */
  | "owner-failed"
  /** An owner was silent for too long and left the ring. */
  | "owner-down"
  /** An owner joined the ring. */
  | "owner-joined"
  /** An owner left the ring. */
  | "owner-left"
  /** A ring change waits for an owner that does not answer. */
  | "owner-silent"
  /** An owner that was down answers again and rejoins the ring. */
  | "owner-up"
  /** An operator has changed the policies; `by` is the name that the call gave. */
  | "policies-changed"
  /** An isolate decides under live policies, and not under those that were deployed with it. */
  | "policies-live"
  /** An isolate could not fetch live policies; the ones it has stay in force until it can. */
  | "policies-not-fetched"
  /** A region could not be told of the live policies; its object is told again. */
  | "policies-not-sent"
  /** Live policies make no sense to this version of the code; the previous ones stay in force. */
  | "policies-refused"
  /** A purge did not reach an owner of the cache; what it keeps may be served until it is stale. */
  | "purge-failed"
  /** A `refusal` function threw or gave no response; the client got the standard refusal. */
  | "refusal-function-failed"
  /** An owner could not fetch a key's count from the owner before it. */
  | "release-failed"
  /** A request failed by a mistake in Turnpike; the client got a 500. */
  | "request-failed"
  /** An isolate that only caches could not fetch a ring; it keeps the one that it knows. */
  | "ring-not-fetched"
  /** An owner was told of a ring that can't be right, or of a version that nobody knows. */
  | "ring-refused"
  /** The membership object goes on from a ring that its owners know: its own was lost. */
  | "ring-restored"
  /** A ring change is over. */
  | "ring-settled"
  /** An owner's verdict on one check made no sense; the isolate decided on that check by itself. */
  | "verdict-refused"
  /** A `window` function threw or gave no window; the request was answered with 500. */
  | "window-function-failed"
  /** An object answers in a version of the wire that this Worker can't read; see `wire.ts`. */
  | "wire-version"
  /** An object lacks a method: its binding is wrong, or its code is too old. */
  | "wrong-class"
  /** The API was called with an unknown token. */
  | "wrong-token";

export type LogLevel = "log" | "warn" | "error";

/** The least time between two lines about one event and subject. */
const INTERVAL_MS = 60_000;
/** Subjects told apart within an interval. All others share one line for each event. */
export const MAX_SUBJECTS = 1_000;

interface Told {
  atMs: number;
  /** Events since the last line. */
  untold: number;
}

const told = new Map<string, Told>();

/** Events that are not logged. Only the test kit adds some. */
export const unlogged = new Set<LogEvent>();

export function log(level: LogLevel, event: LogEvent, fields: object = {}): void {
  if (unlogged.has(event)) return;
  console[level](JSON.stringify({ event, ...fields }));
}

/**
 * Writes a line unless this isolate wrote one about the same event and subject in the last minute.
 * The next line says in `times` how many events it stands for.
 *
 * @param subject what the event is about, such as a policy's name
 */
export function logSeldom(
  level: LogLevel,
  event: LogEvent,
  subject: string,
  fields: object = {},
): void {
  const nowMs = Date.now();
  const id = idOf(event, subject, nowMs);
  const last = told.get(id);
  if (last && isRecent(last, nowMs)) {
    last.untold++;
    return;
  }
  told.set(id, { atMs: nowMs, untold: 0 });
  log(level, event, { ...fields, times: (last?.untold ?? 0) + 1 });
}

/** Returns the id of the subject's entry; if all are taken, that of the entry that others share. */
function idOf(event: LogEvent, subject: string, nowMs: number): string {
  const id = `${event} ${subject}`;
  if (told.has(id) || told.size < MAX_SUBJECTS) return id;
  for (const [other, last] of told) if (!isRecent(last, nowMs)) told.delete(other);
  return told.size < MAX_SUBJECTS ? id : `${event} and others`;
}

/** Returns true if the last line is within the interval; false if the clock was set back since. */
function isRecent({ atMs }: Told, nowMs: number): boolean {
  return nowMs >= atMs && nowMs - atMs < INTERVAL_MS;
}
