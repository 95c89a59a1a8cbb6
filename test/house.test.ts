/**
 * The house: which room of `src` may import what, and that comments and READMEs name what exists.
 *
 * A room is a folder of `src`, or a single file beside the folders. The table below is the rule.
 * A new arrow belongs there only if it leads down; else the code moves.
 */
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";

/** What each room may import, besides itself: rooms, single files, packages. */
const MAY_IMPORT: Record<string, string[]> = {
  limit: ["valibot"],
  ring: ["limit", "valibot"],
  counters: ["ring", "limit"],
  protocol: ["counters", "ring", "limit", "log.ts", "runtime.ts", "valibot"],
  events: ["protocol", "ring", "limit", "log.ts", "runtime.ts", "valibot"],
  cache: ["protocol", "limit", "log.ts", "runtime.ts", "hono", "valibot"],
  owner: ["protocol", "counters", "ring", "limit", "clock.ts", "log.ts", "runtime.ts"],
  membership: ["protocol", "ring", "limit", "log.ts", "runtime.ts"],
  objects: [
    ...["cache", "events", "owner", "membership", "protocol", "ring"],
    ...["limiter-config.ts", "runtime.ts"],
    "cloudflare:",
  ],
  caller: [
    ...["protocol", "counters", "ring", "limit", "limiter-config.ts", "log.ts", "runtime.ts"],
    "valibot",
  ],
  http: [
    ...["events.ts", "events", "caller", "protocol", "ring", "limit"],
    ...["config.ts", "limiter-config.ts", "log.ts", "runtime.ts", "hono", "valibot"],
  ],
  binding: [
    "events.ts",
    "events",
    "caller",
    "ring",
    "limit",
    "limiter-config.ts",
    "cloudflare:",
    "valibot",
  ],
  testing: ["caller", "owner", "protocol", "limit", "log.ts", "runtime.ts"],
  cli: [
    ...["http", "testing", "counters", "ring", "limit", "config.ts", "limiter-config.ts"],
    ...["node:", "valibot", "commander", "cli-progress", "cli-table3", "hono", "jsonc-parser"],
    ...["toml-eslint-parser", "wrangler"],
  ],
  dashboard: [
    ...["http", "watch", "events", "caller", "protocol", "limit"],
    ...["config.ts", "limiter-config.ts", "log.ts", "runtime.ts", "hono"],
  ],
  watch: ["caller", "events", "protocol", "ring", "limit", "log.ts", "runtime.ts"],
  "workers.ts": ["caller", "runtime.ts", "cloudflare:"],
  "cache.ts": [
    ...["workers.ts", "http", "objects", "cache", "caller", "protocol", "ring", "config.ts"],
    ...["runtime.ts", "hono", "cloudflare:"],
  ],
  "events.ts": [
    ...["objects", "events", "caller", "protocol", "ring", "limit"],
    ...["limiter-config.ts", "runtime.ts", "cloudflare:"],
  ],
  "worker.ts": [
    "events.ts",
    "dashboard",
    "workers.ts",
    "http",
    "binding",
    "caller",
    "objects",
    "counters",
    "watch",
    "ring",
    "config.ts",
    "runtime.ts",
  ],
  "index.ts": ["workers.ts", "http", "binding", "caller", "limit", "objects"],
  "outside.ts": ["http", "caller", "protocol", "limit"],
  "store.ts": [],
  "config.ts": ["limiter-config.ts", "limit", "valibot"],
  "limiter-config.ts": ["protocol", "ring", "limit", "valibot"],
  "log.ts": [],
  "runtime.ts": ["clock.ts"],
  "clock.ts": ["log.ts"],
};

/** Arrows that the code needs today and the table does not want: mend one and take it out. */
const EXCEPTIONS: Record<string, string> = {
  "cli → protocol": "the check of an upload reads which class each binding must have",
  "worker.ts → cloudflare:": "reads its environment as the module starts",
};

const MAX_LINES = 300;
const MAX_README_LINES = 40;

/** Words in the backticks of comments that are names, but not ours. */
const NAMES_OF_OTHERS = [
  ...["#private", "private"], // TypeScript
  ...["Basic", "Digest"], // HTTP
  ...["X_Api_Key", "limit_req", "proxy_cookie_domain"], // nginx and what stands behind it
  ...["PT1M", "ss"], // examples
];

const TEST = import.meta.dirname;
const SRC = join(TEST, "../src");
const FILES = filesIn(SRC, "**/*.ts").filter((file) => !file.endsWith(".d.ts"));
const FOLDERS = [...new Set(FILES.map(dirname))].filter((folder) => folder !== ".");
const IMPORT =
  /^(?:import|export)\b[^;"]*?\bfrom\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\("([^"]+)"\)/gm;
const NAMED =
  /`([^`]+)`|\{@link\s+([^}\s]+)|@param (\S+)|@throws \{(.+?)\}|\b([A-Z]+(?:_[A-Z]+)+)\b/g;
const COMMENT = /(?<!\S)(?:\/\*[\s\S]*?\*\/|\/\/\s.*$)/gm;
/** Every word of the code, comments left out. */
const WORDS = new Set(
  FILES.flatMap((file) =>
    read(file)
      .replace(COMMENT, "")
      .match(/[\w$]+/g),
  ),
);

describe("the rooms of src", () => {
  it("import only what the table allows", () => {
    const wrong = arrows()
      .filter(({ from, to }) => !MAY_IMPORT[from]?.includes(to) && !EXCEPTIONS[`${from} → ${to}`])
      .map(({ file, from, to }) => `${file}: ${from} → ${to}`);
    expect(wrong).toEqual([]);
  });

  it("need every exception from the table", () => {
    const used = new Set(arrows().map(({ from, to }) => `${from} → ${to}`));
    expect(Object.keys(EXCEPTIONS).filter((arrow) => !used.has(arrow))).toEqual([]);
  });

  it("are the rooms of the table", () => {
    expect(Object.keys(MAY_IMPORT).sort()).toEqual([...new Set(FILES.map(roomOf))].sort());
  });

  it("form no circle", () => {
    const wanted = Object.entries(MAY_IMPORT).flatMap(([from, all]) =>
      all.map((to) => ({ from, to })),
    );
    expect(circleIn([...wanted, ...arrows()])).toEqual([]);
  });

  it("have no circle between files", () => {
    const between = FILES.flatMap((from) => importsOf(from).map((to) => ({ from, to })));
    expect(circleIn(between)).toEqual([]);
  });

  it("know Durable Object classes only in entry points", () => {
    const who = arrows().filter(({ to }) => to === "objects");
    expect([...new Set(who.map(({ file }) => file))].sort()).toEqual([
      "cache.ts",
      "events.ts",
      "index.ts",
      "worker.ts",
    ]);
  });

  it(`have no file over ${MAX_LINES} lines`, () => {
    const long = FILES.filter((file) => linesOf(join(SRC, file)) > MAX_LINES);
    expect(long).toEqual([]);
  });

  it("name in comments only what exists", () => {
    const wrong = FILES.flatMap((file) =>
      unknownIn(commentsOf(file)).map((name) => `${file}: ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  it("name in comments all the names of others that are listed here", () => {
    const named = new Set(FILES.flatMap((file) => namesIn(commentsOf(file))));
    expect(NAMES_OF_OTHERS.filter((name) => !named.has(name))).toEqual([]);
  });
});

describe("the map of rooms in the README", () => {
  const [, map = ""] =
    /^\| room \|.*\n(.*\n(?:\|.*\n)+)/m.exec(readFileSync(join(SRC, "../README.md"), "utf8")) ?? [];
  const rows = [...map.matchAll(/^\| (.*?) \|/gm)].map(([, cell]) => cell as string);
  const rowOf = (room: string) => rows.findIndex((cell) => cell.includes(`\`${room}\``));

  it("has each room", () => {
    expect(Object.keys(MAY_IMPORT).filter((room) => rowOf(room) === -1)).toEqual([]);
  });

  it("has no import that leads up", () => {
    const between = arrows().filter(({ to }) => MAY_IMPORT[to]);
    const wrong = between.filter(({ from, to }) => rowOf(to) < rowOf(from));
    expect(wrong).toEqual([]);
  });
});

describe.each(FOLDERS)("the README of %s", (folder) => {
  const path = join(SRC, folder, "README.md");

  it("names each file and folder of its room, in backticks, and none that does not exist", () => {
    expect(existsSync(path)).toBe(true);
    const here = readdirSync(dirname(path)).filter((name) => name !== "README.md");
    const named = pathsIn(path);
    expect(here.filter((name) => !named.includes(name))).toEqual([]);
    const places = [dirname(path), SRC, join(SRC, "..")];
    const isHere = (name: string) => places.some((place) => existsSync(join(place, name)));
    expect(named.filter((name) => !isHere(name))).toEqual([]);
  });

  it("names in backticks only what exists", () => {
    expect(unknownIn(readFileSync(path, "utf8"))).toEqual([]);
  });

  it(`has at most ${MAX_README_LINES} lines`, () => {
    expect(linesOf(path)).toBeLessThanOrEqual(MAX_README_LINES);
  });
});

describe("each README", () => {
  const all = globSync("{*.md,{src,test}/**/*.md}", {
    cwd: join(SRC, ".."),
    exclude: ["**/node_modules/**"],
  });

  it.each(all)("%s links only what exists", (path) => {
    const file = join(SRC, "..", path);
    const links = [...readFileSync(file, "utf8").matchAll(/\]\((?!https?:|#)([^)#]+)/g)];
    const missing = links.filter(([, to]) => !existsSync(join(dirname(file), to as string)));
    expect(missing.map(([, to]) => to)).toEqual([]);
  });
});

describe("the README of test", () => {
  const named = pathsIn(join(TEST, "README.md"));

  it("names each test, and none that does not exist", () => {
    expect(filesIn(TEST, "**/*.test.ts").filter((file) => !named.includes(file))).toEqual([]);
    const isHere = (name: string) =>
      existsSync(join(TEST, name)) || existsSync(join(SRC, "..", name));
    expect(named.filter((name) => !isHere(name))).toEqual([]);
  });

  it("names each folder", () => {
    const folders = readdirSync(TEST, { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    const unnamed = folders.filter(
      ({ name }) => !named.some((path) => path === name || path.startsWith(`${name}/`)),
    );
    expect(unnamed.map(({ name }) => name)).toEqual([]);
  });
});

/** Every import that leaves its room. */
function arrows() {
  return FILES.flatMap((file) =>
    importsOf(file).map((target) => ({ file, from: roomOf(file), to: roomOf(target) })),
  ).filter(({ from, to }) => from !== to);
}

/** Files as paths in `src`, and the names of packages. */
function importsOf(file: string): string[] {
  return [...read(file).matchAll(IMPORT)].map(([, ...names]) => {
    const name = names.find((each) => each !== undefined) as string;
    if (name.startsWith(".")) return join(dirname(file), name);
    return name.replace(/:.*/, ":").replace(/\/.*/, "");
  });
}

/** The folder in `src`, or the file or package itself. */
function roomOf(file: string): string {
  return file.split("/")[0] as string;
}

/** The first circle found, its beginning once more at its end. */
function circleIn(pairs: { from: string; to: string }[]): string[] {
  const done = new Set<string>();
  const next = Map.groupBy(pairs, ({ from }) => from);
  const visit = (at: string, path: string[]): string[] => {
    if (path.includes(at)) return [...path.slice(path.indexOf(at)), at];
    if (done.has(at)) return [];
    done.add(at);
    for (const { to } of next.get(at) ?? []) {
      const circle = visit(to, [...path, at]);
      if (circle.length > 0) return circle;
    }
    return [];
  };
  return [...next.keys()].map((at) => visit(at, [])).find(({ length }) => length > 0) ?? [];
}

function commentsOf(file: string): string {
  return read(file).match(COMMENT)?.join("\n") ?? "";
}

/** Names in backticks, in `{@link}`, `@param` and `@throws`, and of constants wherever they are. */
function namesIn(text: string): string[] {
  return [...text.matchAll(NAMED)]
    .map(([, ...names]) => names.find((name) => name !== undefined) as string)
    .filter((name) => /^#?[A-Za-z_$][\w$]*([.-][A-Za-z_$][\w$]*)*(\(\))?$/.test(name))
    .filter((name) => !name.includes("-") || name.endsWith(".ts"));
}

/** Names that neither the code of `src` nor the runtime knows. */
function unknownIn(text: string): string[] {
  const isKnown = (word: string) => word === "" || WORDS.has(word) || word in globalThis;
  return namesIn(text)
    .filter((name) => !NAMES_OF_OTHERS.includes(name) && !exists(name))
    .filter((name) => !name.split(/\.|\(\)/).every(isKnown));
}

/** Is it the name of a file of `src` or of the folder above? */
function exists(name: string): boolean {
  if (FILES.some((file) => basename(file) === name)) return true;
  return name.includes(".") && existsSync(join(SRC, "..", name));
}

/** The files and folders that a README has in backticks; of a word alone, only what is one here. */
function pathsIn(readme: string): string[] {
  const text = existsSync(readme) ? readFileSync(readme, "utf8") : "";
  return [...text.matchAll(/`([\w./-]+)`/g)]
    .map(([, path]) => (path as string).replace(/\/$/, ""))
    .filter((path) => /\.(ts|html|md|json)$/.test(path) || existsSync(join(dirname(readme), path)));
}

function filesIn(folder: string, pattern: string): string[] {
  return globSync(join(folder, pattern)).map((path) => relative(folder, path));
}

function read(file: string): string {
  return readFileSync(join(SRC, file), "utf8");
}

function linesOf(path: string): number {
  return readFileSync(path, "utf8").trimEnd().split("\n").length;
}
