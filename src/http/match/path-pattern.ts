/**
 * A policy's pattern, matched against the readings of a path.
 *
 * `*` at the end stands for any path below, elsewhere for one segment. `*.css` stands for any path
 * whose last segment ends so. `:name` stands for one segment and remembers it.
 */
import { fold } from "./path.ts";
import { decodeSegments } from "./percent.ts";

export class PathPattern {
  /** True if the pattern ends in an extension, such as `*.css`. */
  readonly isExtension: boolean;
  /** The first segment of every reading that matches; undefined if it may be any segment. */
  readonly first: string | undefined;
  readonly #expression: RegExp;
  readonly #names: string[] = [];

  /** @param pattern as the schema of policies accepts it; `*.css` stands for `/*.css` */
  constructor(pattern: string) {
    const segments = pattern.replace(/^\/|\/$/g, "").split("/");
    const last = segments.pop() as string;
    this.isExtension = last.startsWith("*.");
    const before = segments.map((segment) => `/${this.#sourceOf(segment)}`).join("");
    let end = `/${this.#sourceOf(last)}`;
    if (last === "*") end = "(?:/.*)?";
    else if (this.isExtension) end = `/.*${escaped(folded(last.slice(1)))}`;
    const first = folded(segments[0] ?? last);
    this.first = /^[*:]|[/]/.test(first) ? undefined : first;
    this.#expression = new RegExp(pattern === "/" ? "^/?$" : `^${before}${end}$`, "s");
  }

  matches(reading: string): boolean {
    return this.#expression.test(reading);
  }

  /** Returns what `:name` stands for in a reading that matches; undefined for another name. */
  valueOf(name: string, reading: string): string | undefined {
    const at = this.#names.indexOf(name);
    return at < 0 ? undefined : this.#expression.exec(reading)?.[at + 1];
  }

  /** A segment may be empty: odd paths have such readings, since some origins keep them. */
  #sourceOf(segment: string): string {
    if (segment === "*") return "[^/]*";
    if (!segment.startsWith(":")) return escaped(folded(segment));
    this.#names.push(segment.slice(1));
    return "([^/]*)";
  }
}

/** Returns a segment as readings have it. */
function folded(segment: string): string {
  return fold(decodeSegments(segment).normalize("NFKC"));
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
