/** The READMEs' calls of the API, run in each language that this machine has. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "../http/gate-server.ts";

const ROOT = join(import.meta.dirname, "../..");
const LOCAL = "localhost:8787";
const run = promisify(execFile);

const folder = mkdtempSync(join(tmpdir(), "turnpike-"));
const top = readFileSync(join(ROOT, "README.md"), "utf8");
const room = readFileSync(join(ROOT, "src/http/README.md"), "utf8");

/** What calls by `curl`, with the body that all send. */
const [, curl = "", check = ""] = /^```sh\n(curl (?:.*\n)*?.*'(\{.*\})'\n)```$/m.exec(top) ?? [];

/** The code of a row of the room's table. */
function code(language: string): string {
  return new RegExp(`^\\| ${language} \\| \`(.*)\` \\|$`, "m").exec(room)?.[1] ?? "";
}

let server: WorkerdServer;
beforeAll(async () => {
  server = await startGate({ TOKEN: "dev" });
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Each is what runs it, and the program around the README's code. */
const LANGUAGES = {
  curl: () => ["sh", "-c", curl.replace(LOCAL, new URL(server.url).host)],
  sh: (url: string) => [
    ...["sh", "-c"],
    `url='${url}' token='Bearer dev' check='${check}'; ${code("curl")}`,
  ],
  node: (url: string) => [
    process.execPath,
    ...["--input-type=module", "--eval"],
    `const url = "${url}", token = "Bearer dev", check = ${check};
     console.log(JSON.stringify(${code("Node")}))`,
  ],
  python3: (url: string) => [
    ...["python3", "-c"],
    `import json, urllib.request
url, token, check = "${url}", "Bearer dev", ${check}
print(json.dumps(${code("Python")}))`,
  ],
  go: (url: string) => {
    const program = `package main
import ("fmt"; "io"; "net/http"; "strings")
func main() {
  url, token, check := "${url}", "Bearer dev", \`${check}\`
  ${code("Go")}
  if err != nil { panic(err) }
  body, _ := io.ReadAll(res.Body)
  fmt.Println(string(body))
}`;
    writeFileSync(join(folder, "main.go"), program);
    return ["go", "run", join(folder, "main.go")];
  },
} satisfies Record<string, (url: string) => string[]>;

/** What must be on the machine for each, and how it is asked. */
const NEEDED: Record<keyof typeof LANGUAGES, string[]> = {
  curl: ["curl", "--version"],
  sh: ["curl", "--version"],
  node: [process.execPath, "--version"],
  python3: ["python3", "--version"],
  go: ["go", "version"],
};

const here = Object.entries(LANGUAGES).filter(([name]) => {
  const [program = "", ...args] = NEEDED[name as keyof typeof LANGUAGES];
  return spawnSync(program, args).status === 0;
});

describe("the READMEs' call of the API", () => {
  it.each(here)("runs as it stands there: %s", async (_, command) => {
    const [program = "", ...args] = command(`${server.url}_turnpike/v1/check`);
    const { stdout } = await run(program, args);
    expect(JSON.parse(stdout)).toMatchObject({ allowed: true, limit: 10, source: "owner" });
  });
});
