import { createMessageBatch } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { expect, it } from "vitest";
import worker, { app } from "../src/index";

const url = (path: string) => `https://app.example${path}`;
const from = (ip: string) => ({ headers: { "CF-Connecting-IP": ip } });

it("limits a route once in the whole Worker", async () => {
  const ask = () => exports.default.fetch(url("/report"), from("192.0.2.1"));
  expect((await ask()).status).toBe(200);
  expect((await ask()).status).toBe(429);
});

it("limits a sub-app by a policy of its own, beside the app's", async () => {
  const first = await exports.default.fetch(url("/admin"), from("192.0.2.2"));
  expect(first.headers.get("RateLimit")).toMatch(/"admin";r=0;.*"site";r=99;/);
  expect(await first.json()).toMatchObject({ policy: "admin", exact: true, source: "owner" });
  expect((await exports.default.fetch(url("/admin"), from("192.0.2.2"))).status).toBe(429);
});

it("limits a request that has no execution context", async () => {
  const response = await app.request("/", from("192.0.2.3"), env);
  expect(response.status).toBe(200);
  expect(await response.json()).toBe("site");
});

it("counts in another object", async () => {
  const say = async () =>
    (await exports.default.fetch(url("/room?who=ada"), from("192.0.2.4"))).json();
  expect(await say()).toBe(true);
  expect(await say()).toBe(false);
});

it("counts in a queue's consumer and in a cron trigger", async () => {
  const left = async (id: string) =>
    (await exports.default.fetch(url(`/jobs?id=${id}`), from("192.0.2.5"))).json();
  const timestamp = new Date();
  const batch = createMessageBatch<string>("jobs", [
    { id: "1", timestamp, attempts: 1, body: "mail" },
  ]);
  await worker.queue(batch);
  await worker.scheduled();
  expect(await left("mail")).toBe(1);
  expect(await left("cron")).toBe(1);
});
