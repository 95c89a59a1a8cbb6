import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stateFolder } from "../dev-server.ts";

const WRANGLER = join(import.meta.dirname, "../../node_modules/wrangler/bin/wrangler.js");
const WORKER = join(import.meta.dirname, "../../src/worker.ts");

function deploy(...args: string[]) {
  return run(["--dry-run", ...args]);
}

function run(args: string[], path = process.env.PATH, more: Record<string, string> = {}) {
  return new Promise<{ status: number; output: string }>((resolve) => {
    const command = ["src/cli/deploy.ts", ...args];
    const options = { env: { ...process.env, CI: "true", PATH: path, ...more } };
    execFile(process.execPath, command, options, (error, stdout, stderr) =>
      resolve({ status: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

/** Tries to deploy a Worker with a configuration of its own. */
async function deployConfig(toml: string, ...args: string[]) {
  using folder = stateFolder();
  const file = join(folder.path, "wrangler.toml");
  const start = `name = "x"\nmain = ${JSON.stringify(WORKER)}\n`;
  writeFileSync(file, `${start}compatibility_date = "2026-10-23"\n${toml}`);
  return await deploy("--config", file, ...args);
}

function bindObject(name: string, className: string): string {
  return `[[durable_objects.bindings]]\nname = "${name}"\nclass_name = "${className}"\n`;
}

describe.concurrent("npm run deploy", () => {
  it("hands a configuration without mistakes to wrangler", async () => {
    const { status, output } = await deploy();
    expect(output).toContain("--dry-run: exiting now.");
    expect(output).not.toContain("Note:");
    expect(status).toBe(0);
  });

  it("deploys nothing where npm kept an option for itself, and says what to write", async () => {
    const { status, output } = await run([], process.env.PATH, { npm_config_dry_run: "true" });
    expect(output).toBe(
      "Not deployed: npm keeps --dry-run for itself; write npm run deploy -- --dry-run\n",
    );
    expect(status).toBe(1);
  });

  it.each([
    [["--var", 'POLICIES:[{"limit":1.5,"window":"60s"}]'], "POLICIES[0].limit must be a whole"],
    [["--var", "OWNERS:4", "ORIGIN:nonsense"], "ORIGIN must be a URL"],
    [
      ["src/worker.ts", "--var=X:1", "--var", "ORIGIN:", "POLICIES:oops", "--name", "x"],
      "POLICIES must be a list",
    ],
    [["--compatibility-date", "2024-04-02"], "compatibility_date must be 2024-04-03 or later"],
    [["--vars", "OWNERS:0"], "Unknown argument: vars"],
    [["--outfile", "nowhere", "--no-dry-run", "--var", "OWNERS:0"], "OWNERS must be a whole"],
  ])(
    "refuses a mistake on the command line before anything is uploaded: %j",
    async (args, message) => {
      const { status, output } = await deploy(...args);
      expect(output).toContain("Not deployed: ");
      expect(output).toContain(message);
      expect(output).not.toContain("exiting now");
      expect(status).toBe(1);
    },
  );

  it("refuses a mistake in the chosen environment of the chosen file", async () => {
    const toml = `[vars]\nOWNERS = 4\n${bindObject("TURNPIKE_OWNERS", "RateLimiter")}[env.big.vars]\nOWNERS = 1000\n`;
    const message = "Not deployed: OWNERS must be a whole number from 1 to 256, got 1000";
    for (const args of [["--env", "big"], ["-e=big"]]) {
      expect(await deployConfig(toml, ...args)).toMatchObject({
        output: expect.stringContaining(message),
        status: 1,
      });
    }
    expect(await deployConfig(toml)).toMatchObject({ status: 0 });
  });

  it("refuses Cloudflare's own rate limiter as a binding", async () => {
    const toml = `[[ratelimits]]\nname = "TURNPIKE_OWNERS"\nnamespace_id = "1"\nsimple = { limit = 20, period = 60 }\n`;
    const { status, output } = await deployConfig(toml);
    expect(output).toContain('class_name RateLimiter, got "ratelimit"');
    expect(status).toBe(1);
  });

  it("says which counts it forgets, and goes on", async () => {
    using folder = stateFolder();
    // wrangler, but for what needs an account.
    const wrangler = `#!${process.execPath}
      const args = process.argv.slice(2);
      const say = (answer) => console.log(JSON.stringify(answer));
      const versions = [{ version_id: "old", percentage: 10 }, { version_id: "new", percentage: 90 }];
      const bindings = [
        { name: "TURNPIKE_OWNERS", type: "durable_object_namespace", class_name: "RateLimiter" },
        { name: "HOME_REGION", type: "plain_text", text: "oc" },
      ];
      if (args[0] === "deployments") say({ versions });
      else if (args[0] === "versions") say({ resources: { bindings: args[2] === "new" ? bindings : [] } });
      else if (args.includes("--dry-run")) {
        const command = [${JSON.stringify(WRANGLER)}, ...args];
        require("node:child_process").execFileSync(process.execPath, command);
      }
      else console.log("uploaded by", args.join(" "));
      if (args[0] !== "deploy") console.error("asked about", args[args.indexOf("--name") + 1]);
    `;
    writeFileSync(join(folder.path, "wrangler"), wrangler, { mode: 0o755 });
    const path = `${folder.path}:${process.env.PATH}`;
    const { status, output } = await run(["--name", "mine", "--var", "OWNERS:5"], path);
    expect(output.split("\n")).toEqual([
      "uploaded by deploy --name mine --var OWNERS:5",
      "Note: OWNERS changes from 4 to 5: keys whose owner is another one begin anew.",
      "Note: HOME_REGION changes from oc to weur: counts of the API begin anew.",
      "",
    ]);
    expect(status).toBe(0);
  });
});
