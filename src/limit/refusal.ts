/**
 * A policy's own refusal: what answers instead of the standard 429.
 *
 * The operator writes all of it, and nothing comes from a client. So a redirect leads only where
 * the operator wants.
 */
import * as v from "valibot";
import { fieldPath, MisuseError } from "./misuse.ts";
import { isTable, textLike } from "./schemas.ts";
import { parseUrl } from "./url.ts";

const DEFAULT_STATUS = 429;
const DEFAULT_REDIRECT_STATUS = 303;
/** Statuses that need a header such as `Allow`, or after which browsers try again at once. */
const OTHERS_STATUSES = [401, 405, 407, 408, 421, 425, 426];
const MAX_BODY_CHARS = 16_384;
/** Text is sent in UTF-8, so no other charset can be right. */
const TYPE_PATTERN = /^[a-z][\w.+-]*\/[\w.+-]+(?:; ?charset=utf-8)?$/i;
/** The base for reading a path; stands for the Worker's own site. */
const SITE = "http://site";

const statusRule = `must be a whole number from 400 to 599, and none of ${OTHERS_STATUSES.join(", ")}, or 302 or 303 beside "redirect"`;
const bodyRule = `must be text, or a table or list that is sent as JSON, of at most ${MAX_BODY_CHARS} characters`;
const redirectRule =
  'must be a path such as "/slow-down", or a URL such as "https://example.com/slow-down"';

/** A refusal, read and checked. */
export interface Refusal {
  /** Status of an answer without a redirect. */
  status: number;
  body: { text: string; type: string } | undefined;
  redirect: { status: number; location: string } | undefined;
}

type RefusalFields = v.InferOutput<typeof fieldsSchema>;

const tableRule = "must be a table of status, body, type and redirect";

/** The fields of a refusal as a person writes them. */
const fieldsSchema = v.strictObject({
  /** 400 to 599, default 429; 302 or 303, default 303, beside `redirect`. */
  status: v.optional(v.custom<number>(isStatus, statusRule)),
  /** Text, or a value sent as JSON; at most 16,384 characters. Default: the standard body. */
  body: v.optional(
    v.custom<string | object>(
      (body) => (textOf(body)?.length ?? Infinity) <= MAX_BODY_CHARS,
      bodyRule,
    ),
  ),
  /** The body's media type. Default `text/plain`, or `application/json` for a table or list. */
  type: v.optional(textLike(TYPE_PATTERN, 'must be a media type such as "text/html"')),
  /** A path on the same site, or a URL. Not beside `body`. */
  redirect: v.optional(
    v.custom<string>((text) => typeof text === "string" && !!locationOf(text), redirectRule),
  ),
});

export const refusalSchema = v.pipe(v.custom<RefusalFields>(isTable, tableRule), fieldsSchema);

/**
 * Reads a policy's refusal.
 *
 * @param at path of the field, for the error
 * @throws {MisuseError} if two of the fields do not go together
 */
export function readRefusal(fields: RefusalFields, at: string): Refusal {
  const { status, body, type, redirect } = fields;
  if (status !== undefined && status < 400 !== (redirect !== undefined)) {
    throw new MisuseError(fieldPath(at, "status"), statusRule, status);
  }
  if (redirect !== undefined && body !== undefined) {
    throw new MisuseError(fieldPath(at, "body"), 'must be left out beside "redirect"', body);
  }
  if (type !== undefined && body === undefined) {
    throw new MisuseError(fieldPath(at, "type"), 'must stand beside "body"', type);
  }
  const location = redirect === undefined ? undefined : locationOf(redirect);
  return {
    status: location === undefined ? (status ?? DEFAULT_STATUS) : DEFAULT_STATUS,
    body: body === undefined ? undefined : bodyOf(body, type),
    redirect:
      location === undefined ? undefined : { status: status ?? DEFAULT_REDIRECT_STATUS, location },
  };
}

function isStatus(status: unknown): boolean {
  if (typeof status !== "number") return false;
  if (status === 302 || status === 303) return true;
  const isRefusal = Number.isInteger(status) && status >= 400 && status <= 599;
  return isRefusal && !OTHERS_STATUSES.includes(status);
}

function isObject(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  // JSON writes a Map or a Set as `{}`, and leaves out what a class keeps privately.
  return Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value));
}

/** Returns a body's text; undefined if JSON cannot write it, such as an object in itself. */
function textOf(body: unknown): string | undefined {
  if (typeof body === "string") return body;
  if (!isObject(body)) return undefined;
  try {
    return JSON.stringify(body);
  } catch {
    return undefined;
  }
}

function bodyOf(body: string | object, given: string | undefined): Refusal["body"] {
  const type = given ?? (typeof body === "string" ? "text/plain" : "application/json");
  const isBare = /^text\//i.test(type) && !type.includes(";");
  return { text: textOf(body) ?? "", type: isBare ? `${type}; charset=utf-8` : type };
}

/** Returns the value of `Location`, in ASCII; undefined if the text is no path and no HTTP URL. */
function locationOf(text: string): string | undefined {
  const url = parseUrl(text, SITE);
  // URL parsers drop some control characters, such as tabs.
  if (!url || /\p{Cc}/u.test(text)) return undefined;
  if (text.startsWith("/")) {
    // Two slashes, or what browsers read as such, name another host.
    const isHere = url.origin === SITE && !url.pathname.startsWith("//");
    return isHere ? url.pathname + url.search + url.hash : undefined;
  }
  const isBare = !url.username && !url.password;
  return /^https?:\/\//i.test(text) && isBare ? url.href : undefined;
}
