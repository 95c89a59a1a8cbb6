import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestHarness } from "wrangler";

const server = createTestHarness({
  workers: [{ configPath: "wrangler.toml" }, { configPath: "limits/wrangler.toml" }],
});
after(() => server.close());

test("a Worker lets three pass by its service binding, and refuses the fourth", async () => {
  await server.listen();
  for (const remaining of [2, 1, 0]) {
    const response = await server.fetch("/ada");
    assert.equal(response.status, 200);
    const body = { success: true, limit: 3, remaining, exact: true, source: "owner" };
    assert.deepEqual(await response.json(), body);
  }
  assert.equal((await server.fetch("/ada")).status, 429);
});
