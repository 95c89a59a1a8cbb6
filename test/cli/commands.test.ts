/** The command line from outside: what it prints, what it refuses, and its exit codes. */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { parse as parseToml } from "smol-toml";
import { afterAll, describe, expect, it, vi } from "vitest";
import { withProgress } from "../../src/cli/replay/command.ts";
import { meantBy } from "../../src/cli/validate/near-miss.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import { sampleLog } from "./sample-log.ts";
import { fileWith, PROGRAM, removeFiles, turnpike, turnpikeHere } from "./turnpike.ts";

const LOG = sampleLog();
const log = fileWith("access.log", LOG);
const LIMIT = ["--limit", "10", "--window", "60s"];

/** One policy, in each form that a file may have. */
const LOGIN = JSON.stringify([{ name: "login", path: "/login", limit: 5, window: "10m" }]);
const LOGIN_TOML = `name = "login"\npath = "/login"\nlimit = 5\nwindow = "10m"\n`;
const FORMS = [
  fileWith("wrangler.toml", `name = "w"\n[vars]\nPOLICIES = '${LOGIN}'\n`),
  fileWith("wrangler.jsonc", `{ "name": "w", "vars": { "POLICIES": ${LOGIN} } }`),
  fileWith("list.json", LOGIN),
  fileWith("list.jsonc", `// ours\n${LOGIN.replace("]", ", ]")}`),
  // As `policies get --json` writes it.
  fileWith("live.json", `{ "policies": ${LOGIN}, "source": "live", "version": 3 }`),
  fileWith("policies.toml", `[[policies]]\n${LOGIN_TOML}`),
];

afterAll(removeFiles);

async function report(args: string[], input?: string | Buffer) {
  const all = ["replay", ...args, "--json"];
  const { code, out, error } = await (input ? turnpike(all, input) : turnpikeHere(...all));
  expect([code, error]).toEqual([0, ""]);
  return JSON.parse(out);
}

describe("turnpike replay", () => {
  it("prints who would have been denied what", async () => {
    const { code, out } = await turnpikeHere("replay", log, ...LIMIT);
    expect(code).toBe(0);
    expect(out).toContain("2000 requests by 62 clients, from 2026-05-17T10:00:00.000Z");
    expect(out).toMatch(/│ 2001:db8::\/64 │ 500 /);
    expect(out).toMatch(/^denied {3}[ ▁-█]+$/m);
  });

  it("reads packed files, several, and standard input alike", async () => {
    const { lines, ...whole } = await report([log, ...LIMIT]);
    const half = LOG.indexOf("\n", LOG.length / 2) + 1;
    const late = fileWith("access.log", LOG.slice(half));
    const early = fileWith("access.log.1.gz", gzipSync(LOG.slice(0, half)));
    const zst = fileWith("access.log.zst", zstdCompressSync(LOG));
    const all = [
      [[late, early]],
      [[zst]],
      [["-"], LOG],
      [["-"], LOG.replaceAll("\n", "\r\n")],
    ] as const;
    for (const [files, input] of all) {
      expect(await report([...files, ...LIMIT], input)).toEqual({ lines, ...whole });
    }
  });

  it("reads a file that begins with a byte order mark", async () => {
    const line = '{"ip":"192.0.2.7","time":"2026-05-17T10:00:00Z","path":"/"}';
    const marked = fileWith("marked.jsonl", `\ufeff${line}`);
    const { lines } = await report([log, marked, ...LIMIT, "--format", "json"]);
    expect(lines).toMatchObject({ read: 2_001, unreadable: 2_000 });
  });

  it("reads pipes beside files, each once", async () => {
    const file = fileWith("access.log", LOG);
    const command = `node ${PROGRAM} replay ${file} <(cat ${file}) <(cat ${file}) --limit 10 --json`;
    const { stdout } = spawnSync("bash", ["-c", command], { encoding: "utf8", timeout: 20_000 });
    expect(JSON.parse(stdout).lines.read).toBe(6_000);
  });

  it("loses no frame of a packed file", async () => {
    const frame = zstdCompressSync(LOG);
    const small = fileWith("small.log.zst", Buffer.concat([frame, frame]));
    // So much that the second frame comes when the first has ended.
    const noise = zstdCompressSync(randomBytes(600_000).toString("hex"));
    const large = fileWith("large.log.zst", Buffer.concat([frame, noise, frame, noise, frame]));
    for (const file of [small, large]) {
      const { code, error } = await turnpike(["replay", file, "--limit", "10"]);
      expect(error).toBe(
        `turnpike: ${file}: this Node cannot read all of it: write zstd -dc ${file} | turnpike …\n`,
      );
      expect(code).toBe(2);
    }
  });

  it("compares two policies", async () => {
    const { reports } = await report([
      log,
      ...LIMIT,
      "--against",
      "limit=10,algorithm=sliding-log",
    ]);
    const [one, other] = reports;
    expect(other.denied).toBeGreaterThanOrEqual(one.denied);
    expect(other.policies[0]).toMatchObject({ algorithm: "sliding-log", window: "1m" });
  });

  it("takes the policies of a configuration, or of a file with nothing else", async () => {
    for (const file of FORMS) {
      const { reports } = await report([log, "--config", file]);
      expect(reports[0]).toMatchObject({ deniedClients: 1, policies: [{ name: "login" }] });
    }
  });

  it("denies no client a limit that is said to touch none of them", async () => {
    for (const algorithm of ["fixed-window", "sliding-window"]) {
      const { reports } = await report([log, ...LIMIT, "--algorithm", algorithm]);
      const { limits } = reports[0].policies[0];
      for (const [share, limit] of Object.entries(limits)) {
        const again = await report([log, "--limit", `${limit}`, "--algorithm", algorithm]);
        const { deniedClients, clients } = again.reports[0];
        expect(deniedClients / clients).toBeLessThanOrEqual(Number.parseFloat(share) / 100);
      }
    }
  });

  it("writes a page, and each decision", async () => {
    const page = fileWith("report.html", "");
    const decisions = fileWith("decisions.jsonl", "");
    const { reports } = await report([log, ...LIMIT, "--html", page, "--decisions", decisions]);
    expect(readFileSync(page, "utf8")).toContain("<caption>Clients denied most</caption>");
    const each = readFileSync(decisions, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(each.filter(({ allowed }) => !allowed).length).toBe(reports[0].denied);
    expect(each.length).toBe(2_000);
  });

  it("counts lines that it cannot read", async () => {
    const { code, out } = await turnpike(["replay", "-", ...LIMIT], `${LOG}garbage\n`);
    expect([code, out]).toEqual([0, expect.stringContaining("Note: 1 line could not be read.")]);
  });

  it("colours what a terminal shows, and no page", async () => {
    const page = fileWith("report.html", "");
    const args = ["replay", "-", ...LIMIT, "--html", page];
    const { out } = await turnpike(args, `${LOG}garbage\n`, { FORCE_COLOR: "1" });
    expect(out).toContain("\u001b[33mNote: 1 line could not be read.");
    expect(readFileSync(page, "utf8")).toContain("<p>Note: 1 line could not be read.</p>");
  });

  it("agrees with goaccess", async ({ skip }) => {
    const args = [
      log,
      "--log-format=COMBINED",
      "--no-global-config",
      "-o",
      fileWith("goaccess.json", ""),
    ];
    const { error } = spawnSync("goaccess", args, { encoding: "utf8" });
    if (error) skip("goaccess is not installed here");
    const { general, hosts } = JSON.parse(readFileSync(args.at(-1) as string, "utf8"));
    const [found] = (await report([log, "--limit", "1"])).reports;
    const { requests, clients, busiestClients } = found;
    expect([requests, clients]).toEqual([general.valid_requests, hosts.metadata.data.total.value]);
    const first = hosts.data[0];
    expect(busiestClients[0]).toEqual({ client: "2001:db8::/64", requests: first.hits.count });
  });
});

describe("turnpike suggest", () => {
  it("prints policies that can be pasted", async () => {
    const { code, out } = await turnpikeHere("suggest", log);
    expect(code).toBe(0);
    const { vars } = parseToml(out) as { vars: { POLICIES: object[] } };
    const policies = parsePolicies(vars.POLICIES, "POLICIES");
    expect(policies.map(({ name, shadow }) => ({ name, shadow }))).toEqual([
      ...[
        { name: "site", shadow: true },
        { name: "login", shadow: true },
      ],
    ]);
    expect(policies[1]).toMatchObject({ path: "/login", method: ["POST"], charge: "failure" });
    expect(out).toMatch(/the busiest 203\.0\.113\.9 \(\d+\)/);
    const pasted = fileWith("wrangler.toml", `name = "w"\n${out}`);
    expect((await turnpikeHere("validate", pasted)).out).toBe(
      `${pasted}: 2 policies, no mistake\n`,
    );
    const twice = fileWith("wrangler.toml", `[vars]\nPOLICIES = []\n${out}`);
    const { error } = await turnpikeHere("validate", twice);
    expect(error).toMatch(/wrangler\.toml:\d+: .* redefine .*\(\[\[vars\.POLICIES\]\]\)\n$/);
  });
});

it("writes no client's name as more than a part of a comment", async () => {
  const lines = LOG.trim().split("\n");
  const json = lines.map((line) => {
    const [, ip, time, request, status] = /^(\S+) .*?\[(.*?)\] "(.*?)" (\d+)/.exec(line) ?? [];
    const name = ip === "203.0.113.9" ? "evil\n[vars]\u001b[2J\u202e" : ip;
    return JSON.stringify({ ip: name, time, request, status });
  });
  const { out } = await turnpikeHere("suggest", fileWith("names.jsonl", json.join("\n")));
  expect(out).toContain(String.raw`the busiest evil\u000a[vars]\u001b[2J\u202e (`);
  expect(Object.keys(parseToml(out).vars as object)).toEqual(["POLICIES"]);
});

describe("turnpike suggest and replay", () => {
  it("count the same requests, however odd their paths are", async () => {
    const odd = [
      ...["GET /style.css;v=1", "GET /style.css?v=1", "GET /Logo.PNG", "GET /a%2ejs", "GET //a.js"],
      ...[
        "POST /LOGIN",
        "POST /login/",
        "POST //login",
        "POST /login;a=1",
        "POST /",
        "POST /x.css",
      ],
      ...["GET /..%2f/etc/passwd", "POST /%6cogin", "GET /a.css/b", "DELETE /login", "GET *"],
    ];
    const [line = ""] = LOG.split("\n");
    const lines = odd.map((request) => line.replace(/"\w+ \S+ /, `"${request} `));
    const file = fileWith("odd.log", `${lines.join("\n")}\n${LOG}`);
    const { suggestions } = JSON.parse((await turnpikeHere("suggest", file, "--json")).out);
    const toml = fileWith("suggested.toml", (await turnpikeHere("suggest", file)).out);
    const [{ policies }] = (await report([file, "--config", toml])).reports;
    const counted = (all: { name: string; requests: number }[]) =>
      all.map(({ name, requests }) => [name, requests]);
    expect(counted(suggestions)).toEqual(counted(policies));
    expect(counted(policies)).toHaveLength(2);
  });

  it("say what policies in shadow would deny", async () => {
    const toml = fileWith("shadow.toml", `[[policies]]\n${LOGIN_TOML}shadow = true\n`);
    const page = fileWith("report.html", "");
    const { out } = await turnpikeHere("replay", log, "--config", toml, "--html", page);
    expect(out).toContain("\n0 (0.0 %) of 2000 requests denied, of 0 (0.0 %) of 62 clients\n");
    const line = /^Shadow policies would also deny 1\d\d .* of 1 \(1\.6 %\) of 62 clients$/m;
    expect(out).toMatch(line);
    expect(out).toMatch(/│ client +│ requests │ would be denied │\n.*\n│ 203\.0\.113\.9 +│ 200 /);
    expect(out).toMatch(/│ path +│ would be denied │\n.*\n│ \/login /);
    expect(out).toMatch(/^requests [ ▁-█]+ at most .*\nshadow {3}[ ▁-█]+$/m);
    expect(out).not.toMatch(/^denied {3}/m);
    expect(readFileSync(page, "utf8")).toContain("Clients that shadow policies would deny most");
  });
});

describe("a mistake", () => {
  const folder = join(dirname(log), "folder");
  mkdirSync(folder);
  const binary = fileWith("binary", Buffer.from([1, 0, 2, 0]));
  // As an editor writes it that means UTF-16.
  const words = fileWith("utf16.toml", Buffer.from('\ufeffname = "w"\n', "utf16le"));
  const latin = fileWith("latin.json", Buffer.from('[\n{"name":"é"}]', "latin1"));
  const toml = fileWith("wrangler.toml", 'name = "w"\n[env.staging.vars]\nOWNERS = 2\n');
  const cut = fileWith("cut.log.gz", gzipSync(LOG).subarray(0, 2_000));
  it.each([
    [["replay", "missing.log", ...LIMIT], "missing.log: no such file"],
    [["replay", folder, ...LIMIT], "is a directory: name the files in it"],
    [["replay", binary, ...LIMIT], "is no text: packed logs must end in .gz or .zst"],
    [
      ["replay", fileWith("a.log.gz", "no gzip"), ...LIMIT],
      "is cut off or damaged, or not packed as its name says",
    ],
    [["replay", fileWith("a.log", "hello\n"), ...LIMIT], "no line is in a known format"],
    [["replay", fileWith("empty.log", ""), ...LIMIT], "no line in it"],
    [["replay", log, "--config", "missing.toml"], "missing.toml: no such file"],
    [["replay", log, "--config", log], "is no configuration: its name must end in .toml"],
    [["replay", log, "--config", folder], "is a directory: name a file in it"],
    [["replay", log, "--config", words], "utf16.toml:1: not in UTF-8"],
    [["validate", words], "utf16.toml:1: not in UTF-8"],
    [["validate", latin], "latin.json:2: not in UTF-8: save the file in that encoding"],
    [["policies", "diff", fileWith("bits.toml", "\u001b[31m\u0007=\r\n")], "Invalid TOML"],
    [["validate", toml, "--env", "stagign"], "No environment found"],
    [["validate", fileWith("wrangler.toml", ""), "--env", "staging"], "has no environment staging"],
    [["conformance", "--mapping", "missing.json"], "missing.json: no such file"],
    [["conformance", "--mapping", fileWith("map.json", "{\n]")], "--mapping"],
    [["replay", log, log, ...LIMIT], "is named twice"],
    [
      ["conformance", "--mapping", fileWith("get.json", '{"method":"GET","body":{}}')],
      "--mapping: ",
    ],
    [["block", "user-1", "--for", "1", "hour"], "but got 2. A duration is written as 1h"],
    [["replay", cut, ...LIMIT], "is cut off or damaged"],
    [["suggest", folder], "is a directory: name the files in it"],
    [["replay", log, "--limit", "-1"], "--limit must be"],
    [["replay", log, "--window", "1m"], "--limit is required"],
    [
      ["replay", log, "--limit", "5", "--algorithm", "magic"],
      "Allowed choices are fixed-window, sliding-window",
    ],
    [
      ["replay", log, ...LIMIT, "--against", "limit=5,windwo=1m"],
      '--against.windwo is not a known field (did you mean "window"?)',
    ],
    [["replay", log, ...LIMIT, "--format", "magic"], "Allowed choices are vhost, combined"],
    [["replay", log, ...LIMIT, "--fields", "ip"], "--fields must be pairs such as ip=client.addr"],
    [["replay", log, ...LIMIT, "--decisions", "/no/such/folder"], "--decisions /no/such/folder"],
    [["replay", log, ...LIMIT, "--html", "/no/such/folder"], "--html /no/such/folder"],
    [["replay", log, ...LIMIT, "--html", folder], "is a directory: name a file in it"],
    [["replay"], "missing required argument 'log'; say turnpike replay --help"],
    [["relpay"], "Did you mean replay?"],
    [["replay", "--limti", "5", log], "Did you mean --limit?"],
  ])("%j ends with one line and code 2", async (args, sentence) => {
    const { code, out, error } = await turnpikeHere(...args);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toContain(sentence);
    expect(error).toMatch(/^turnpike: \P{Cc}+\n$/u);
  });

  it("of turnpike's own is told as such, without a stack trace", async () => {
    vi.spyOn(process, "cwd").mockImplementation(() => {
      throw new TypeError("an oversight");
    });
    const { code, out, error } = await turnpikeHere("validate", toml);
    vi.restoreAllMocks();
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(/^turnpike: .*an oversight.*\n$/);
  });

  it("is no stack trace in a process of its own, either", async () => {
    const { code, out, error } = await turnpike(["replay", "-", ...LIMIT]);
    expect([code, out, error]).toEqual([2, "", "turnpike: standard input: no line in it\n"]);
  });

  it("is not Ctrl-C in the middle, which ends with one line", async () => {
    const child = spawn("node", [PROGRAM, "replay", "-", ...LIMIT]);
    child.stdin.on("error", () => {});
    let said = "";
    child.stderr.on("data", (text) => {
      said += text;
    });
    // More than a pipe holds, and no end: once this is taken, it waits for the next line.
    if (!child.stdin.write(LOG.repeat(10))) await once(child.stdin, "drain");
    child.kill("SIGINT");
    const [code] = await once(child, "close");
    expect([code, said]).toEqual([
      2,
      expect.stringMatching(/^\nturnpike: stopped by Ctrl-C; .*\n$/),
    ]);
  });

  it("or a stop leaves a terminal with a progress bar as it was", async () => {
    const { isTTY } = process.stderr;
    const before = process.listeners("exit");
    let shown = "";
    const write = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      shown += text;
      return true;
    });
    process.stderr.isTTY = true;
    try {
      vi.stubEnv("TERM", "dumb");
      await withProgress([log], async (onRead) => onRead(1));
      expect(shown).toBe("");
      vi.stubEnv("TERM", "xterm");
      void withProgress([log], () => new Promise(() => {}));
      // Line wrapping off, and on.
      await expect.poll(() => shown).toContain("\u001b[?7l");
      const added = process.listeners("exit").filter((each) => !before.includes(each));
      for (const each of added) (each as () => void)();
      expect(shown.lastIndexOf("\u001b[?7h")).toBeGreaterThan(shown.lastIndexOf("\u001b[?7l"));
    } finally {
      vi.unstubAllEnvs();
      process.stderr.isTTY = isTTY;
      write.mockRestore();
    }
  });

  it.each([
    // As `git log | head -1`: nobody is told anything, and only the exit code says that it broke off.
    [`node ${PROGRAM} suggest ${log} | true`, ""],
    [`node ${PROGRAM} suggest missing.log 2>&1 | true`, ""],
    [`node ${PROGRAM} suggest ${log} > /dev/full`, /^turnpike: standard output: ENOSPC.*\n$/],
  ])("is an output that nobody takes: %s", (command, said) => {
    const { status, stderr } = spawnSync("bash", ["-o", "pipefail", "-c", command], {
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([2, said === "" ? "" : expect.stringMatching(said)]);
  });
});

describe("turnpike validate", () => {
  const toml = `name = "w"
compatibility_date = "2026-01-01"
[vars]
OWNERS = 0

[[vars.POLICIES]]
limit = -1
window = "60s"

[[vars.POLICIES]]
name = "login"
limit = 1
window = "60 s"
cost = "max_tokens"
`;
  const jsonc = `{
  "name": "w", "compatibility_date": "2026-01-01",
  // what a trailing comma does not break
  "vars": {
    "OWNERS": 0,
    "POLICIES": [
      { "limit": -1, "window": "60s" },
      { "name": "login", "limit": 1,
        "window": "60 s",
        "cost": "max_tokens" },
    ],
  },
}
`;
  it.each([
    ["wrangler.toml", toml, [4, 7, 13, 14]],
    ["wrangler.jsonc", jsonc, [5, 7, 9, 10]],
  ])("names each mistake of %s with its line", async (name, text, lines) => {
    const file = fileWith(name, text);
    const { code, out, error } = await turnpikeHere("validate", file);
    expect([code, out]).toEqual([2, ""]);
    expect(error.match(/(?<=:)\d+(?=: )/g)?.map(Number)).toEqual(lines);
    expect(error).toContain("POLICIES[1].window must be a duration");
  });

  it.each([
    ["wrangler.toml", '[vars]\nAPP = "x"\nORIGN = "https://example.com"\nPOLICY = "[]"\n'],
    [
      "wrangler.jsonc",
      '{"vars": {"APP": "x",\n\n"ORIGN": "https://example.com",\n"POLICY": "[]"}}',
    ],
  ])("names variables of %s that are almost right", async (name, text) => {
    const file = fileWith(name, text);
    expect(await turnpikeHere("validate", file)).toEqual({
      code: 2,
      out: "",
      error:
        `turnpike: ${file}:3: ORIGN is no variable of Turnpike: did you mean ORIGIN?\n` +
        `${file}:4: POLICY is no variable of Turnpike: did you mean POLICIES?\n`,
    });
  });

  it.each([
    ["owners", "OWNERS"],
    ["OWNERS_MAXX", "OWNERS_MAX"],
    ["IP-HEADER", "IP_HEADER"],
    ["POLICYS", "POLICIES"],
    ["HASH_SECRETT", "HASH_SECRET"],
    ["POLICIES", undefined],
    ["POLICIES_V2", undefined],
    ["API_URL", undefined],
    ["ORIGIN_SERVICE", undefined],
    ["OWNERS_AVG", undefined],
  ])("takes %s for %s", (name, meant) => {
    expect(meantBy(name)).toBe(meant);
  });

  it("looks into an environment, and at a whole list in one line", async () => {
    const file = fileWith("wrangler.toml", `${toml}[env.staging.vars]\nPOLICIES = "[{}]"\n`);
    const { error } = await turnpikeHere("validate", file, "--env", "staging");
    expect(error).toMatch(/wrangler\.toml:16: POLICIES\[0\]\.limit is required/);
  });

  it("says that there is no mistake", async () => {
    const file = fileWith(
      "wrangler.toml",
      toml
        .replace("-1", "1")
        .replace("60 s", "60s")
        .replace("= 0", "= 1")
        .replace(/cost.*/, ""),
    );
    const { code, out } = await turnpikeHere("validate", file);
    expect([code, out]).toEqual([0, `${file}: 2 policies, no mistake\n`]);
  });

  it("reads each form of a file, and names the line", async () => {
    for (const file of FORMS) {
      expect((await turnpikeHere("validate", file)).out).toBe(`${file}: 1 policy, no mistake\n`);
    }
    const wrong = [
      ["list.json", '[\n{ "window": "1m",\n"limit": -1 }]'],
      ["live.json", '{ "policies": [{ "window": "1m",\n\n"limit": -1 }]}'],
      ["policies.toml", '[[policies]]\nwindow = "1m"\nlimit = -1\n'],
    ];
    for (const [name = "", text = ""] of wrong) {
      const file = fileWith(name, text);
      const { error } = await turnpikeHere("validate", file);
      expect(error).toContain(`${file}:3: POLICIES[0].limit must be`);
    }
  });

  it("takes no default for the policies of a file that has none", async () => {
    for (const [name, text] of [
      ["other.json", '{"polices": []}'],
      ["wrangler.toml", '[vars]\nAPP = "x"\n'],
    ] as const) {
      const file = fileWith(name, text);
      const error = `turnpike: ${file}: no policies in it: write POLICIES under [vars], [[policies]], or a list in JSON\n`;
      for (const args of [
        ["validate", file],
        ["replay", log, "--config", file],
        ["replay", log, ...LIMIT, "--against", file],
        ["policies", "diff", file],
      ]) {
        expect(await turnpikeHere(...args)).toEqual({ code: 2, out: "", error });
      }
    }
    const app = fileWith("wrangler.jsonc", '{ "name": "app", "main": "src/index.ts" }');
    expect((await turnpikeHere("validate", app)).out).toBe(
      `${app}: no policies, unless its code has them, no mistake\n`,
    );
  });

  it("stops npm start in front of a mistake, in the configuration that it is to serve", () => {
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(scripts.start).toBe("node src/cli/start.ts");
    const folder = dirname(fileWith("wrangler", '#!/bin/sh\necho "serves $@"\n'));
    chmodSync(join(folder, "wrangler"), 0o755);
    writeFileSync(
      join(folder, "wrangler.toml"),
      `${toml}\n[env.good]\nvars = { POLICIES = '${LOGIN}' }\n`,
    );
    writeFileSync(join(folder, "other.toml"), toml.replace("\n", "\n\n"));
    const start = (args: string[], variables = {}) => {
      const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, ...variables };
      const program = join(dirname(PROGRAM), "start.ts");
      const ended = spawnSync("node", [program, ...args], { cwd: folder, encoding: "utf8", env });
      return [ended.status, ended.stdout + ended.stderr];
    };
    expect(start([])).toEqual([2, expect.stringContaining("wrangler.toml:4: OWNERS must be")]);
    expect(start(["-c", "other.toml"])).toEqual([2, expect.stringContaining("other.toml:5: OWN")]);
    expect(start(["--port", "9000", "--env=good"])).toEqual([
      ...[0, expect.stringMatching(/serves dev .*--var TOKEN:dev .*--port 9000 --env=good\n$/)],
    ]);
    expect(start([], { npm_config_env: "good" })).toEqual([
      ...[2, "Not started: npm keeps --env for itself; write npm start -- --env\n"],
    ]);
  });

  it("says what wrangler cannot read", async () => {
    const { code, error } = await turnpikeHere("validate", fileWith("wrangler.toml", "name = "));
    expect([code, error]).toEqual([2, expect.stringMatching(/wrangler\.toml/)]);
    expect(error).not.toMatch(/\n\s+at /);
  });
});
