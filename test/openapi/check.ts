/**
 * Has the tools of others read the OpenAPI document: a linter, a generator of clients, and a proxy
 * that compares every request and answer of the API's tests with it.
 *
 *     npm run check:openapi
 *
 * The tools come by `npx`, so that an installation stays small.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd } from "../bench/workerd-server.ts";

const DOCUMENT = "src/http/api/openapi.json";
const CLIENT = "test/openapi/api.d.ts";
const REDOCLY = ["@redocly/cli@2.77.0"];
const GENERATOR = ["-p", "openapi-typescript@7.13.0", "-p", "typescript@5.9.3"];
const PRISM = ["@stoplight/prism-cli@5.16.0"];
/** In two runs, since the last one changes the ring. */
const TESTS = [
  ["test/http/api.test.ts", "test/http/api-body.test.ts"],
  ["test/openapi/client.test.ts"],
];
/** The configuration of `test/http/api-client.ts`. */
const VARS = {
  TOKEN: "secret-1",
  DEADLINE: "10s",
  QUOTA_ORIGINS: '["https://app.example.com"]',
  POLICIES: JSON.stringify([
    { name: "day", limit: 10, window: "1d" },
    { name: "hour", limit: 5, window: "1h" },
  ]),
};
/** The first time, npm loads the proxy. */
const START_MS = 240_000;

await run("npx", "--yes", "--prefer-offline", ...REDOCLY, "lint", DOCUMENT);
await run(
  "npx",
  "--yes",
  "--prefer-offline",
  ...GENERATOR,
  "openapi-typescript",
  DOCUMENT,
  "-o",
  CLIENT,
  "--check",
);

const worker = await startWorkerd({
  script: await bundleFile("src/worker.ts"),
  vars: VARS,
  hasObjects: true,
  hasMembership: true,
  hasEvents: true,
});
const port = await freePort();
const origin = `${worker.url}_turnpike/v1`;
const where = ["--host", "127.0.0.1", "--port", String(port)];
const prism = spawn(
  "npx",
  ["--yes", "--prefer-offline", ...PRISM, "proxy", DOCUMENT, origin, ...where],
  {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  },
);
try {
  await listening(prism);
  process.env.API_PROXY = `http://127.0.0.1:${port}`;
  for (const files of TESTS) {
    await run("vitest", "run", "--config", "test/vitest.config.ts", ...files);
  }
} finally {
  // `npx` starts the proxy as a process of its own, in the same group.
  if (prism.pid !== undefined && prism.exitCode === null) process.kill(-prism.pid);
  await worker.stop();
}

/** @throws {Error} if the command fails */
async function run(command: string, ...args: string[]): Promise<void> {
  const [code] = await once(spawn(command, args, { stdio: "inherit" }), "exit");
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address !== "object" || !address) throw new Error("no port");
  return address.port;
}

function listening(child: ChildProcess): Promise<void> {
  let output = "";
  return new Promise((resolve, reject) => {
    child.stdout?.on("data", (chunk) => {
      output += chunk;
      if (output.includes("is listening on")) resolve();
    });
    child.on("exit", () => reject(new Error(`the proxy ended:\n${output}`)));
    setTimeout(() => reject(new Error(`the proxy did not start:\n${output}`)), START_MS).unref();
  });
}
