/** The same limits counted by the test kit, in place of the Worker's own objects. */
import { env, exports } from "cloudflare:workers";
import { installTestKit, runVectors } from "turnpike/testing";
import { beforeEach, expect, it } from "vitest";
import { app } from "../src/index";

const kit = installTestKit();
beforeEach(() => kit.reset());

const from = (ip: string) => ({ headers: { "CF-Connecting-IP": ip } });

it("refuses a client over its limit, until its day is over", async () => {
  kit.deny("192.0.2.1", "report");
  const ask = async () => (await app.request("/report", from("192.0.2.1"), env)).status;
  expect(await ask()).toBe(429);
  await kit.clock.advance("1d");
  expect(await ask()).toBe(200);
});

it("counts what the whole Worker is asked", async () => {
  const ask = () => exports.default.fetch("https://app.example/report", from("192.0.2.2"));
  expect((await ask()).status).toBe(200);
  expect((await ask()).status).toBe(429);
  const names = kit.calls().map(({ policies }) => policies);
  expect(names).toEqual([["site"], ["report"], ["site"], ["report"]]);
});

it("runs the vectors of the package", async () => {
  const { differences } = await runVectors(() => ({ allowed: true }), {
    algorithms: ["fixed-window"],
  });
  expect(differences.length).toBeGreaterThan(0);
});

it("counts by the Worker's own objects once it is uninstalled", async () => {
  kit.deny("192.0.2.3");
  kit.uninstall();
  expect((await app.request("/", from("192.0.2.3"), env)).status).toBe(200);
});
