/**
 * Patterns of paths, as policies have them, matched against the readings of a path.
 *
 * `*` at the end stands for anything below, elsewhere for one segment. `*.css` stands for any path
 * whose last segment ends so. `:name` stands for one segment and remembers it.
 */
import { decodeSegments, fold } from "./path.ts";

/** At the end of a pattern: `*`, or `*` with an extension. */
const EXTENSION = /^\*\./;

export class PathPattern {
  /** Does the pattern end in an extension, such as `*.css`? */
  readonly isExtension: boolean;
  /** The first segment of every reading that matches; undefined where it may be any. */
  readonly first: string | undefined;
  readonly #expression: RegExp;
  readonly #names: string[] = [];

  /** @param pattern as the schema of policies lets it pass; `*.css` stands for `/*.css` */
  constructor(pattern: string) {
    const segments = pattern.replace(/^\/|\/$/g, "").split("/");
    const last = segments.pop() as string;
    this.isExtension = EXTENSION.test(last);
    const before = segments.map((segment) => `/${this.#sourceOf(segment)}`).join("");
    const end =
      last === "*"
        ? "(?:/.*)?"
        : this.isExtension
          ? `/.*${literal(last.slice(1))}`
          : `/${this.#sourceOf(last)}`;
    const first = segments[0] ?? (this.isExtension ? "*" : last);
    this.first = /^[*:]|[/]/.test(literalText(first)) ? undefined : literalText(first);
    this.#expression = new RegExp(pattern === "/" ? "^/?$" : `^${before}${end}$`, "s");
  }

  matches(reading: string): boolean {
    return this.#expression.test(reading);
  }

  /** Returns what `:name` stands for in a reading that matches; undefined if there is no such. */
  valueOf(name: string, reading: string): string | undefined {
    const at = this.#names.indexOf(name);
    return at < 0 ? undefined : this.#expression.exec(reading)?.[at + 1];
  }

  /** A segment may be empty: only odd paths have such readings, and some origins keep them. */
  #sourceOf(segment: string): string {
    if (segment === "*") return "[^/]*";
    if (!segment.startsWith(":")) return literal(segment);
    this.#names.push(segment.slice(1));
    return "([^/]*)";
  }
}

/** Returns a segment as each path that is written with it has it among its readings. */
function literalText(segment: string): string {
  return fold(decodeSegments(segment).normalize("NFKC"));
}

function literal(segment: string): string {
  return literalText(segment).replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
