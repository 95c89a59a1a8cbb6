import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { livePolicies } from "../../src/cli/live-policies.ts";
import { readUpload, type UploadedBinding, variablesOf } from "../../src/cli/upload.ts";
import { stateFolder } from "../dev-server.ts";

interface Run {
  /** What a stand-in for wrangler would upload; without it, wrangler itself is called. */
  uploads?: UploadedBinding[];
  env?: Record<string, string>;
}

const BOUND = {
  name: "TURNPIKE_OWNERS",
  type: "durable_object_namespace",
  class_name: "RateLimiter",
};
const OCEANIA = { name: "HOME_REGION", type: "plain_text", text: "oc" };

async function deploy(args: string[], { uploads, env = {} }: Run = {}) {
  using folder = stateFolder();
  if (uploads) writeFileSync(join(folder.path, "wrangler"), standIn(uploads), { mode: 0o755 });
  const PATH = `${folder.path}:${process.env.PATH}`;
  return await new Promise<{ status: number; output: string }>((resolve) => {
    const command = ["src/cli/deploy.ts", ...args];
    const options = { env: { ...process.env, CI: "true", PATH, ...env } };
    execFile(process.execPath, command, options, (error, stdout, stderr) =>
      resolve({ status: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

/**
 * A program that answers as wrangler does, in a fraction of the time. It also knows what is deployed,
 * for which wrangler needs an account.
 */
function standIn(bindings: UploadedBinding[]): string {
  const metadata = JSON.stringify({
    bindings,
    compatibility_date: "2026-10-23",
    compatibility_flags: ["enable_request_signal"],
  });
  return `#!${process.execPath}
    const { writeFileSync } = require("node:fs");
    const args = process.argv.slice(2);
    const after = (option) => args[args.indexOf(option) + 1];
    const say = (answer) => console.log(JSON.stringify(answer));
    const versions = [{ version_id: "old", percentage: 10 }, { version_id: "new", percentage: 90 }];
    const bindings = ${JSON.stringify([BOUND, OCEANIA])};
    if (args[0] === "deployments") say({ versions });
    else if (args[0] === "versions") say({ resources: { bindings: args[2] === "new" ? bindings : [] } });
    else if (args.includes("--dry-run")) {
      const form = new FormData();
      form.set("metadata", JSON.stringify(${metadata}));
      new Response(form).bytes().then((bytes) => writeFileSync(after("--outfile"), bytes));
      writeFileSync(process.env.WRANGLER_OUTPUT_FILE_PATH, '{"worker_name":"mine"}');
    }
    else console.log("uploaded by", args.join(" "));
    if (args[0] !== "deploy") console.error("asked about", after("--name"));
  `;
}

describe.concurrent("npm run deploy", () => {
  it("hands a configuration without mistakes to wrangler", async () => {
    const { status, output } = await deploy(["--dry-run"]);
    expect(output).toContain("--dry-run: exiting now.");
    expect(output).not.toContain("Note:");
    expect(status).toBe(0);
  });

  it("deploys nothing where npm kept an option for itself, and says what to write", async () => {
    const { status, output } = await deploy([], { env: { npm_config_dry_run: "true" } });
    expect(output).toBe(
      "Not deployed: npm keeps --dry-run for itself; write npm run deploy -- --dry-run\n",
    );
    expect(status).toBe(1);
  });

  it("refuses a mistake before anything is uploaded", async () => {
    const policies = {
      name: "POLICIES",
      type: "plain_text",
      text: '[{"limit":1.5,"window":"60s"}]',
    };
    const { status, output } = await deploy([], { uploads: [BOUND, policies] });
    expect(output).toContain("Not deployed: POLICIES[0].limit must be a whole");
    expect(output).not.toContain("uploaded");
    expect(status).toBe(1);
  });

  it("says what wrangler refuses", async () => {
    const { status, output } = await deploy(["--dry-run", "--vars", "OWNERS:0"]);
    expect(output).toContain("Not deployed: wrangler refuses it:");
    expect(output).toContain("Unknown argument: vars");
    expect(status).toBe(1);
  });

  it("says which counts it forgets, and goes on", async () => {
    const uploads = [BOUND, { name: "OWNERS", type: "plain_text", text: "5" }];
    const { status, output } = await deploy(["--name", "mine", "--var", "OWNERS:5"], { uploads });
    expect(output.split("\n")).toEqual([
      "uploaded by deploy --name mine --var OWNERS:5",
      "Note: OWNERS changes from 4 to 5: keys whose owner is another one begin anew.",
      "Note: HOME_REGION changes from oc to weur: counts of the API begin anew.",
      "",
    ]);
    expect(status).toBe(0);
  });
});

describe("live policies", () => {
  /** Answers as a Worker's API, runs the check before a deployment, and returns its notes. */
  async function notesBeside(answer: object, status = 200, more = {}): Promise<string[]> {
    const server = createServer((request, response) => {
      const isRight = request.url === "/_turnpike/v1/policies";
      response.writeHead(isRight && request.headers.authorization === "Bearer t-1" ? status : 401);
      response.end(JSON.stringify(answer));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const env = { TURNPIKE_URL: `http://127.0.0.1:${port}`, TURNPIKE_TOKEN: "t-1", ...more };
    const json = [{ name: "default", limit: 5, window: "60s" }];
    const uploads = [BOUND, OCEANIA, { name: "POLICIES", type: "json", json }];
    try {
      const { output } = await deploy([], { uploads, env });
      expect(output).toContain("uploaded by deploy");
      return output.split("\n").filter((line) => line.startsWith("Note:"));
    } finally {
      server.close();
    }
  }

  it("are named before an upload, with what of the deployment does not come into force", async () => {
    const policies = [
      { name: "default", limit: 9, window: "60s" },
      { name: "login", limit: 1, window: "1m" },
    ];
    const at = "2026-11-26T12:00:00.000Z";
    const live = { policies, source: "live", version: 7, by: "kim", at };
    expect(await notesBeside(live)).toEqual([
      `Note: live policies stay in force, version 7 by kim of ${at}; npx turnpike policies rollback 0 ends them.`,
      "Note: not in force while policies are live: ~ default: limit 9 → 5.",
      "Note: not in force while policies are live: - login: limit 1, window 1m.",
    ]);
  });

  it("are not mentioned where the deployment's are in force", async () => {
    expect(await notesBeside({ policies: [], source: "deployment", version: 8 })).toEqual([]);
  });

  it("are not known where the Worker does not answer", async () => {
    const [note] = await notesBeside({}, 200, { TURNPIKE_TOKEN: "wrong" });
    expect(note).toMatch(
      /^Note: whether live policies are in force is not known: .*TURNPIKE_TOKEN/,
    );
  });

  it("are not known without a URL, if anybody could have changed them", async () => {
    const token = { name: "TOKEN", type: "secret_text" };
    const { notes } = await livePolicies(undefined, [token], []);
    expect(notes).toEqual([expect.stringContaining("set TURNPIKE_URL and TURNPIKE_TOKEN")]);
    expect((await livePolicies(undefined, [], [])).notes).toEqual([]);
  });
});

describe("an upload", () => {
  /** Reads what wrangler would upload of a small Worker, which is not the repository's. */
  async function read(...args: string[]) {
    using folder = stateFolder();
    const file = join(folder.path, "wrangler.toml");
    writeFileSync(
      join(folder.path, "worker.js"),
      "export class RateLimiter {}; export default {};",
    );
    writeFileSync(
      file,
      `name = "x"
      main = "worker.js"
      compatibility_date = "2026-10-23"
      vars = { OWNERS = 4, HOME_REGION = "oc" }
      durable_objects.bindings = [{ name = "TURNPIKE_OWNERS", class_name = "RateLimiter" }]
      [env.big]
      vars = { OWNERS = 1000 }
      ratelimits = [{ name = "TURNPIKE_OWNERS", namespace_id = "1", simple = { limit = 20, period = 60 } }]`,
    );
    return await readUpload(["--config", file, ...args]);
  }

  it("is read from the command line in each of wrangler's spellings", async () => {
    const before = ["--var", "OWNERS:5", "ORIGIN:nonsense", "--var=X:1", "--name", "mine"];
    const after = ["--compatibility-date", "2024-04-02", "--outfile", "nowhere", "--no-dry-run"];
    const args = [...before, "--var", "TOKEN:", "POLICIES:oops", ...after];
    const { worker, bindings, ...upload } = await read(...args);
    expect(upload).toMatchObject({ compatibilityDate: "2024-04-02", compatibilityFlags: [] });
    expect(worker).toBe("mine");
    expect(variablesOf(bindings)).toEqual({
      OWNERS: "5",
      HOME_REGION: "oc",
      ORIGIN: "nonsense",
      X: "1",
      TOKEN: "",
      POLICIES: "oops",
    });
    expect(bindings).toContainEqual(BOUND);
  });

  it("has what the chosen environment of the chosen file has", async () => {
    const { bindings } = await read("-e=big");
    expect(variablesOf(bindings)).toEqual({ OWNERS: 1000 });
    expect(bindings).toContainEqual(
      expect.objectContaining({ name: "TURNPIKE_OWNERS", type: "ratelimit" }),
    );
  });
});
