/**
 * Finds whole numbers in an answer's JSON, or in the last event of a stream that has them.
 *
 * Keeps one answer or one event at a time, up to `MAX_CHARS`. Reads an event stream as the HTML
 * standard says (9.2.6), but only its `data` fields.
 */
import { parseJson } from "../../limit/json.ts";
import { MAX_UNITS } from "../../limit/policy-schema.ts";

/** A longer answer or event is not looked at. */
export const MAX_CHARS = 1_048_576;

const LINE_END = /\r\n|\n|\r(?!$)/;

/** Reads the text of an answer, piece by piece. */
export interface JsonValues {
  push(piece: string): void;
  /** To be called after the last piece. */
  end(): void;
}

/**
 * Returns a reader for an answer of that media type; undefined if the type has no JSON.
 *
 * @param found is called with each value that is found, and the index of its path
 */
export function jsonValues(
  type: string,
  paths: readonly (readonly string[])[],
  found: (index: number, value: number) => void,
): JsonValues | undefined {
  const look = (text: string) => {
    // Most events have none of the values, and need not be parsed.
    if (!paths.some((path) => text.includes(`"${path.at(-1)}"`))) return;
    const json = parseJson(text);
    for (const [index, path] of paths.entries()) {
      const value = valueAt(json, path);
      if (isUnits(value)) found(index, value);
    }
  };
  if (/^text\/event-stream\b/i.test(type)) return new Lines(eventReader(look));
  if (/ndjson|jsonl|json-seq/i.test(type)) return new Lines((line) => look(line ?? ""));
  return /\bjson\b/i.test(type) ? new Whole(look) : undefined;
}

/** Returns the value at a path in JSON; undefined if the path leads nowhere. */
export function valueAt(json: unknown, path: readonly string[]): unknown {
  let value = json;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name))
      return undefined;
    value = Reflect.get(value, name);
  }
  return value;
}

/** Returns true for a cost: a whole number from 0 to `MAX_UNITS`. */
export function isUnits(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_UNITS;
}

function bounded(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= MAX_CHARS ? text : undefined;
}

class Whole implements JsonValues {
  readonly #look: (text: string) => void;
  #text: string | undefined = "";

  constructor(look: (text: string) => void) {
    this.#look = look;
  }

  push(piece: string): void {
    if (this.#text !== undefined) this.#text = bounded(this.#text + piece);
  }

  end(): void {
    this.#look(this.#text ?? "");
  }
}

class Lines implements JsonValues {
  readonly #onLine: (line: string | undefined) => void;
  #rest: string | undefined = "";

  /** @param onLine gets undefined for a line that is too long */
  constructor(onLine: (line: string | undefined) => void) {
    this.#onLine = onLine;
  }

  push(piece: string): void {
    const [first = "", ...others] = ((this.#rest ?? "") + piece).split(LINE_END);
    const lines = [this.#rest === undefined ? undefined : first, ...others].map(bounded);
    this.#rest = lines.pop();
    for (const line of lines) this.#onLine(line);
  }

  end(): void {
    this.push("\n");
  }
}

/**
 * Puts the `data` of each event together. An event ends with an empty line. An event without that
 * end does not count.
 */
function eventReader(look: (text: string) => void): (line: string | undefined) => void {
  let data: string | undefined;
  let isTooLong = false;
  return (line) => {
    if (line === "") {
      if (data !== undefined && !isTooLong) look(data);
      data = undefined;
      isTooLong = false;
    } else if (line === undefined) {
      isTooLong = true;
    } else if (line === "data" || line.startsWith("data:")) {
      const value = line.slice("data:".length).replace(/^ /, "");
      data = bounded(data === undefined ? value : `${data}\n${value}`);
      isTooLong ||= data === undefined;
    }
  };
}
