/** The app's limits, counted in this process: its module is the one that a Worker runs. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { installTestKit } from "turnpike/testing";
import vectors from "turnpike/vectors/token-bucket.json" with { type: "json" };
import app from "../src/index.ts";

const kit = installTestKit();
beforeEach(() => kit.reset());

test("a client over its limit is refused, until its minute is over", async () => {
  kit.deny();
  assert.equal((await app.request("/api/time")).status, 429);
  await kit.clock.advance("1m");
  assert.equal((await app.request("/api/time")).status, 200);
});

test("the eleventh request of a minute is refused", async () => {
  const headers = { "CF-Connecting-IP": "192.0.2.1" };
  for (let at = 0; at < 10; at++) {
    assert.equal((await app.request("/api/time", { headers })).status, 200);
  }
  const refused = await app.request("/api/time", { headers });
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("Retry-After"), "60");
  assert.equal((await app.request("/api/time")).status, 200);
});

test("a user has five tries to log in", async () => {
  const login = async () => (await app.request("/login", { method: "POST" })).json();
  for (let at = 0; at < 5; at++) assert.equal(await login(), true);
  assert.equal(await login(), false);
  const [first] = kit.calls();
  assert.deepEqual(first, {
    verb: "check",
    key: ["ada"],
    policies: ["logins"],
    cost: 1,
    allowed: true,
  });
});

test("the package has the vectors", () => {
  assert.equal(vectors.algorithm, "token-bucket");
});
