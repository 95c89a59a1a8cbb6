/**
 * `npm run deploy`: checks the configuration as the Worker would at its start, then deploys.
 *
 * All arguments go to `wrangler deploy`. What is checked is what would be uploaded: the environment
 * of `--env`, the file of `--config`, and each `--var NAME:VALUE`.
 */
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { unstable_readConfig as readConfig } from "wrangler";
import { parseConfig } from "../config.ts";
import { MisuseError } from "../limit/misuse.ts";

const args = process.argv.slice(2);
const { values } = parseArgs({
  args,
  strict: false,
  options: {
    config: { type: "string", short: "c" },
    env: { type: "string", short: "e" },
    var: { type: "string", multiple: true },
  },
});

try {
  const config = readConfig({ config: text(values.config), env: text(values.env) });
  const given = (values.var ?? []).map((pair) => String(pair).split(/:(.*)/s).slice(0, 2));
  parseConfig({ ...config.vars, ...Object.fromEntries(given) });
  const bindings = config.durable_objects.bindings.map(({ name }: { name: string }) => name);
  if (!bindings.includes("TURNPIKE_OWNERS")) {
    throw new MisuseError(
      "durable_objects.bindings",
      'must have one named "TURNPIKE_OWNERS"',
      bindings,
    );
  }
} catch (error) {
  console.error(`Not deployed: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

spawn("wrangler", ["deploy", ...args], { stdio: "inherit" }).on("exit", (code) => {
  process.exitCode = code ?? 1;
});

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
