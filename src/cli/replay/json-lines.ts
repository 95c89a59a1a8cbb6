/**
 * Logs with one JSON object a line: nginx, Caddy, Cloudflare Logpush, and others by the names of
 * their fields.
 */
import { parseJson } from "../../limit/json.ts";
import { MisuseError } from "../../limit/misuse.ts";
import type { Clients } from "./clients.ts";
import { type LineReader, type LoggedValues, NO_REQUEST, NO_VALUES } from "./record.ts";
import { readTime } from "./times.ts";

/**
 * What a line is asked for, and under which names known servers write it. The first that is there
 * counts.
 */
const NAMES = {
  ip: [
    ...["ClientIP", "remote_addr", "client_ip", "request.client_ip", "request.remote_ip"],
    ...["clientip", "remote_ip", "ip", "client"],
  ],
  time: [
    ...["EdgeStartTimestamp", "time_iso8601", "msec", "time_local", "@timestamp", "timestamp"],
    ...["ts", "time", "date"],
  ],
  method: ["ClientRequestMethod", "request_method", "request.method", "method", "verb"],
  path: [
    ...["ClientRequestURI", "request_uri", "request.uri", "uri", "target", "path", "url"],
    ...["ClientRequestPath"],
  ],
  request: ["request"],
  status: ["EdgeResponseStatus", "status", "status_code", "response"],
  host: ["ClientRequestHost", "host", "http_host", "request.host", "server_name"],
  userAgent: ["ClientRequestUserAgent", "http_user_agent", "user_agent", "agent"],
  referer: ["ClientRequestReferer", "http_referer", "referer", "referrer"],
  country: ["ClientCountry", "country"],
  asn: ["ClientASN", "asn"],
} satisfies Record<string, readonly string[]>;

type Field = keyof typeof NAMES;
const FIELDS = Object.keys(NAMES) as Field[];
/** `GET /?a=1 HTTP/1.1` */
const REQUEST_LINE = /^([A-Za-z-]+) (\S+)/;
/** The start of an absolute URL: only its path and query count. */
const ORIGIN = /^https?:\/\/[^/?#]*/i;

/** The name that a log has for a field, as a path into its objects. */
export type FieldNames = ReadonlyMap<Field, readonly string[]>;

/**
 * Reads `ip=client.addr,time=ts`: our name of a field, and the log's.
 *
 * @throws {MisuseError} naming the part that is wrong
 */
export function parseFieldNames(text: string): FieldNames {
  return new Map(
    text.split(",").map((pair) => {
      const [field = "", name = ""] = pair.split(/=(.*)/s).map((part) => part.trim());
      if (!FIELDS.includes(field as Field) || !name) {
        const rule = `must be pairs such as ip=client.addr, of ${FIELDS.join(", ")}`;
        throw new MisuseError("--fields", rule, pair);
      }
      return [field as Field, [name]] as const;
    }),
  );
}

/** @param wantsValues whether more is read than every line must have */
export function jsonReader(
  clients: Clients,
  given: FieldNames = new Map(),
  wantsValues = true,
): LineReader {
  const namesOf = (field: Field) => given.get(field) ?? NAMES[field];
  /** The name of each field in the line before: all lines have the same, as a rule. */
  const known = new Map<Field, string>();

  function fieldOf(line: object, field: Field): unknown {
    const last = known.get(field);
    const value = last === undefined ? undefined : at(line, last);
    if (value !== undefined) return value;
    for (const name of namesOf(field)) {
      const found = at(line, name);
      if (found === undefined) continue;
      known.set(field, name);
      return found;
    }
    return undefined;
  }

  return (bytes, from, to) => {
    const line = parseJson(bytes.toString("utf8", from, to));
    if (typeof line !== "object" || line === null) return undefined;
    // A Worker's own fetches stand in the log beside the request that led to them.
    if (at(line, "WorkerSubrequest") === true) return NO_REQUEST;
    const ip = textOf(fieldOf(line, "ip"));
    const atMs = readTime(fieldOf(line, "time"));
    let method = textOf(fieldOf(line, "method"));
    let target = textOf(fieldOf(line, "path"));
    if (method === undefined || target === undefined) {
      const requestLine = textOf(fieldOf(line, "request")) ?? "";
      const [, loggedMethod = "GET", loggedTarget] = REQUEST_LINE.exec(requestLine) ?? [];
      method ??= loggedMethod;
      target ??= loggedTarget;
    }
    if (!ip || atMs === undefined || !target) return undefined;
    return {
      atMs,
      address: clients.ofText(ip),
      method,
      target: target.replace(ORIGIN, "") || "/",
      status: Number(fieldOf(line, "status")) || 0,
      values: wantsValues ? valuesOf(line) : NO_VALUES,
    };
  };

  function valuesOf(line: object): LoggedValues {
    return {
      host: textOf(fieldOf(line, "host")),
      userAgent: textOf(fieldOf(line, "userAgent")),
      referer: textOf(fieldOf(line, "referer")),
      country: textOf(fieldOf(line, "country"))?.toUpperCase(),
      asn: Number(fieldOf(line, "asn")) || undefined,
    };
  }
}

/** Returns the value under a name, or under a path such as `request.uri`. */
function at(line: object, name: string): unknown {
  const own = (line as Record<string, unknown>)[name];
  if (own !== undefined || !name.includes(".")) return own ?? undefined;
  let value: unknown = line;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Reflect.get(value, part);
  }
  return value ?? undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value !== "-" ? value : undefined;
}
