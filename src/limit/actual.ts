/** Where costs are told: an estimate in a request's body, the actual cost in its response. */
import { textLike } from "./schemas.ts";

const PATH = String.raw`json:[\w$-]+(?:\.[\w$-]+)*`;

/** A cost in the JSON of a request's body. */
export const costTextSchema = textLike(
  new RegExp(`^${PATH}$`),
  'must be a whole number from 1 on, or a path into JSON such as "json:max_tokens"',
);

export const actualSchema = textLike(
  new RegExp(String.raw`^(?:bytes|header:[!#$%&\'*+.^_\`|~\w-]+|${PATH})$`),
  'must be "bytes", a header such as "header:X-Cost" or a path such as "json:usage.total_tokens"',
);

/** Which part of a response tells its cost. */
export interface Actual {
  from: "bytes" | "header" | "json";
  /** Name of the header. */
  name?: string;
  /** The names that lead to the value in the JSON. */
  path?: readonly string[];
}

/** Reads a text that `actualSchema` accepts. */
export function readActual(text: string): Actual {
  const [from = "", rest = ""] = text.split(/:(.*)/s);
  if (from === "header") return { from, name: rest };
  return from === "json" ? { from, path: readPath(text) } : { from: "bytes" };
}

/** Reads a path into JSON, such as `json:usage.total_tokens`. */
export function readPath(text: string): readonly string[] {
  return text.slice("json:".length).split(".");
}
