import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stateFolder } from "../dev-server.ts";

function deploy(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["src/cli/deploy.ts", "--dry-run", ...args],
    { encoding: "utf8", env: { ...process.env, CI: "true" } },
  );
  return { status, output: stdout + stderr };
}

describe("npm run deploy", () => {
  it("hands a configuration without mistakes to wrangler", () => {
    const { status, output } = deploy();
    expect(output).toContain("--dry-run: exiting now.");
    expect(status).toBe(0);
  });

  it("refuses a mistake on the command line before wrangler runs", () => {
    const { status, output } = deploy("--var", 'POLICIES:[{"limit":1.5,"window":"60s"}]');
    expect(output).toContain(
      "Not deployed: POLICIES[0].limit must be a whole number from 1 to 1000000000, got 1.5",
    );
    expect(output).not.toContain("wrangler");
    expect(status).toBe(1);
  });

  it("refuses a mistake in the chosen environment of the chosen file", () => {
    using folder = stateFolder();
    const file = join(folder.path, "wrangler.toml");
    writeFileSync(file, 'name = "x"\n[vars]\nOWNERS = 4\n[env.big.vars]\nOWNERS = 1000\n');
    const { status, output } = deploy("--config", file, "--env", "big");
    expect(output).toContain("Not deployed: OWNERS must be a whole number from 1 to 256, got 1000");
    expect(status).toBe(1);
    expect(deploy("--config", file)).toMatchObject({
      output: expect.stringContaining(
        'durable_objects.bindings must have one named "TURNPIKE_OWNERS"',
      ),
      status: 1,
    });
  });
});
