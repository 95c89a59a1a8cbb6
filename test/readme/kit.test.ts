import { installTestKit } from "turnpike/testing";
import { beforeEach, expect, it } from "vitest";
import app from "./app";

const kit = installTestKit();
beforeEach(() => kit.reset());

it("refuses a client over its limit, until a minute is over", async () => {
  kit.deny();
  expect((await app.request("/")).status).toBe(429);
  await kit.clock.advance("1m");
  expect((await app.request("/")).status).toBe(200);
});
