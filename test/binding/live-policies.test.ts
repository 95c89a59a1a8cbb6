/** Workers that bind to the deployed Turnpike, whose policies are changed meanwhile. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { bound, CALLING, type Cluster, deployed, start, worker } from "./cluster.ts";

let cluster: Cluster;

beforeAll(async () => {
  const turnpike = await deployed([{ name: "login", limit: 5, window: "1d" }]);
  cluster = await start(
    { ...turnpike, bindings: { ...turnpike.bindings, TOKEN: "t-1" } },
    worker("a", CALLING, { serviceBindings: { LOGIN: bound("login"), NEW: bound("new") } }),
  );
});
afterAll(() => cluster.stop());

it("the service binding counts under live policies, and goes on with what was counted", async () => {
  const key = crypto.randomUUID();
  const limit = (binding: string) => cluster.call("a", binding, "limit", { key });
  expect((await limit("LOGIN")).answer).toMatchObject({ limit: 5, remaining: 4 });
  expect((await limit("NEW")).error).toContain('one of "login"');
  const policies = [
    { name: "login", limit: 9, window: "1d" },
    { name: "new", limit: 3, window: "1d" },
  ];
  const put = await cluster.fetch("turnpike", "http://limits/_turnpike/v1/policies", {
    method: "PUT",
    headers: { Authorization: "Bearer t-1", "If-Match": '"0"' },
    body: JSON.stringify({ policies }),
  });
  expect(put.status).toBe(200);
  expect((await limit("LOGIN")).answer).toMatchObject({ limit: 9, remaining: 7 });
  expect((await limit("NEW")).answer).toMatchObject({ limit: 3, remaining: 2 });
});
