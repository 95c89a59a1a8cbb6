/** One request as a log tells it. */

/** The values of a request that the key of a policy may name, as far as the log has them. */
export interface LoggedValues {
  host?: string | undefined;
  country?: string | undefined;
  asn?: number | undefined;
  userAgent?: string | undefined;
  referer?: string | undefined;
}

/** Of a line whose values no key names. */
export const NO_VALUES: LoggedValues = {};

export interface LogRecord {
  /** Milliseconds since the epoch. */
  atMs: number;
  /** The address, as `Clients` has it. */
  address: number;
  method: string;
  /** Path and query. */
  target: string;
  /** 0 if the log does not tell. */
  status: number;
  values: LoggedValues;
}

/** A line that is blank, a comment, or no request of a client: it counts neither way. */
export const NO_REQUEST = Symbol("no request");

/** What a line tells; undefined if it cannot be read. */
export type LineRead = LogRecord | typeof NO_REQUEST | undefined;
export type LineReader = (bytes: Buffer, from: number, to: number) => LineRead;

/** For a line without a host: what `host` in a key then is, for all requests. */
const NO_HOST = "log.invalid";

/** Returns the whole address that was asked for. */
export function urlOf({ target, values: { host = NO_HOST } }: LogRecord): string {
  return `https://${host}${target.startsWith("/") ? target : `/${target}`}`;
}

export function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}
