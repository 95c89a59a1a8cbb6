import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stateFolder } from "../dev-server.ts";

const WORKER = join(import.meta.dirname, "../../src/worker.ts");

function deploy(...args: string[]) {
  return new Promise<{ status: number; output: string }>((resolve) => {
    const command = ["src/cli/deploy.ts", "--dry-run", ...args];
    const options = { env: { ...process.env, CI: "true" } };
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

  it.each([
    [["--var", 'POLICIES:[{"limit":1.5,"window":"60s"}]'], "POLICIES[0].limit must be a whole"],
    [["--var=ORIGIN:nonsense"], "ORIGIN must be a URL"],
    [["--var", "OWNERS:4", "ORIGIN:nonsense"], "ORIGIN must be a URL"],
    [["src/worker.ts", "--var", "OWNERS:4", "--var", "X:1", "OWNERS:0"], "OWNERS must be a whole"],
    [["--minify", "--var", "ORIGIN:", "POLICIES:oops", "--name", "x"], "POLICIES must be a list"],
    [["--var", "TURNPIKE_OWNERS:x"], "TURNPIKE_OWNERS must be a Durable Object binding"],
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

  it.each([
    [
      "nothing",
      "",
      "TURNPIKE_OWNERS must be a Durable Object binding with the class_name RateLimiter, got nothing",
    ],
    [
      "a KV namespace",
      '[[kv_namespaces]]\nbinding = "TURNPIKE_OWNERS"\nid = "1"\n',
      'class_name RateLimiter, got "kv_namespace"',
    ],
    [
      "Cloudflare's own rate limiter",
      '[[ratelimits]]\nname = "TURNPIKE_OWNERS"\nnamespace_id = "1"\nsimple = { limit = 20, period = 60 }\n',
      'class_name RateLimiter, got "ratelimit"',
    ],
    [
      "a service",
      '[[services]]\nbinding = "TURNPIKE_OWNERS"\nservice = "x"\n',
      'class_name RateLimiter, got "service"',
    ],
    [
      "the other class",
      bindObject("TURNPIKE_OWNERS", "Membership"),
      'RateLimiter, got "Membership"',
    ],
    [
      "the wrong class for membership",
      bindObject("TURNPIKE_OWNERS", "RateLimiter") +
        bindObject("TURNPIKE_MEMBERSHIP", "RateLimiter"),
      'TURNPIKE_MEMBERSHIP must be a Durable Object binding with the class_name Membership, got "RateLimiter"',
    ],
    [
      "the former name",
      bindObject("RATE_LIMITER", "RateLimiter"),
      "TURNPIKE_OWNERS is the new name of RATE_LIMITER: rename it",
    ],
    [
      "the former name of membership",
      bindObject("TURNPIKE_OWNERS", "RateLimiter") + bindObject("MEMBERSHIP", "Membership"),
      "TURNPIKE_MEMBERSHIP is the new name of MEMBERSHIP: rename it",
    ],
  ])("refuses %s as a binding", async (_, toml, message) => {
    const { status, output } = await deployConfig(toml);
    expect(output).toContain(message);
    expect(status).toBe(1);
  });

  it("notes that a client that goes away is not noticed without enable_request_signal", async () => {
    const { status, output } = await deployConfig(bindObject("TURNPIKE_OWNERS", "RateLimiter"));
    expect(output).toContain('Note: without compatibility_flags = ["enable_request_signal"]');
    expect(status).toBe(0);
  });
});
