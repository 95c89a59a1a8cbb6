import assert from "node:assert/strict";
import { test } from "node:test";
import app from "../src/index.ts";

const RULE = /^turnpike counts in a Cloudflare Worker only: [^.]+$/;

test("an app that is imported in Node answers where nothing is counted", async () => {
  assert.equal(await (await app.request("/health")).text(), "well");
});

test("what it would keep is computed, and its events are counted nowhere", async () => {
  assert.equal(await (await app.request("/rate")).text(), "1.08");
});

test("one sentence says where counting works", async () => {
  assert.match(await (await app.request("/api/time")).text(), RULE);
  assert.match(await (await app.request("/login", { method: "POST" })).text(), RULE);
});
