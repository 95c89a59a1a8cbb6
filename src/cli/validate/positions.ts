/** Where in a configuration's file a field stands. */
import { findNodeAtLocation, parseTree } from "jsonc-parser";
import { type AST, parseTOML } from "toml-eslint-parser";
import type { FieldPath } from "../policy-file.ts";

/**
 * Returns the line of the field, or of the innermost field around it that the file has; undefined
 * if it has none.
 *
 * @param file its name tells the format
 * @returns from 1 on
 */
export function lineOf(file: string, text: string, path: FieldPath): number | undefined {
  const lineAt = file.endsWith(".toml") ? tomlLines(text) : jsonLines(text);
  for (let length = path.length; length > 0; length--) {
    const line = lineAt(path.slice(0, length));
    if (line !== undefined) return line;
  }
  return undefined;
}

function jsonLines(text: string) {
  const tree = parseTree(text);
  return (path: FieldPath) => {
    const node = tree && findNodeAtLocation(tree, [...path]);
    return node && text.slice(0, node.offset).split("\n").length;
  };
}

function tomlLines(text: string) {
  const lines = new Map<string, number>();
  const [top] = parseTOML(text).body;
  note([], top.body);
  return (path: FieldPath) => lines.get(path.join("\0"));

  function note(before: FieldPath, nodes: readonly (AST.TOMLKeyValue | AST.TOMLTable)[]): void {
    for (const node of nodes) {
      if (node.type === "TOMLTable") {
        add(node.resolvedKey, node);
        note(node.resolvedKey, node.body);
      } else {
        const names = node.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value));
        const path = [...before, ...names];
        add(path, node);
        noteValue(path, node.value);
      }
    }
  }

  function noteValue(path: FieldPath, value: AST.TOMLContentNode): void {
    if (value.type === "TOMLInlineTable") note(path, value.body);
    if (value.type !== "TOMLArray") return;
    for (const [at, element] of value.elements.entries()) {
      add([...path, at], element);
      noteValue([...path, at], element);
    }
  }

  function add(path: FieldPath, { loc }: AST.TOMLNode): void {
    const name = path.join("\0");
    if (!lines.has(name)) lines.set(name, loc.start.line);
  }
}
