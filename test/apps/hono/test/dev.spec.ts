import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

/** Starts `wrangler dev`; resolves with its address. */
async function start(): Promise<{ url: string; stop(): Promise<void> }> {
  // Busy or not, this machine's owners are waited for.
  const options = ["--ip", "127.0.0.1", "--var", "DEADLINE:10s"];
  const args = ["node_modules/wrangler/bin/wrangler.js", "dev", ...options];
  const child = spawn(process.execPath, [...args, "--port", "0", "--inspector-port", "0"], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, CI: "true" },
  });
  const exited = once(child, "exit");
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        output += chunk;
        const [, ready] = /Ready on (http:\/\/\S+)/.exec(output) ?? [];
        if (ready) resolve(ready);
      });
    }
    child.on("exit", () => reject(new Error(output)));
  });
  const stop = async () => {
    // The runtime is a process of its own, in the same group.
    process.kill(-(child.pid as number), "SIGINT");
    await exited;
  };
  return { url, stop };
}

test("wrangler dev lets ten requests pass, and refuses the eleventh", async () => {
  const { url, stop } = await start();
  try {
    for (let left = 9; left >= 0; left--) {
      const response = await fetch(new URL("/message", url));
      assert.equal(response.status, 200);
      assert.deepEqual(await response.json(), { left, source: "owner", exact: true });
    }
    const refused = await fetch(new URL("/message", url));
    assert.equal(refused.status, 429);
    assert.match(refused.headers.get("Retry-After") ?? "", /^[1-9]\d?$/);
  } finally {
    await stop();
  }
});
