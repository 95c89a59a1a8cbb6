import { expect, it } from "vitest";
import { Memberships } from "../../src/caller/memberships.ts";
import { WORKERS } from "../../src/runtime.ts";

it("a report that can't be made fails no request", async () => {
  const kept: Promise<unknown>[] = [];
  const platform = { ...WORKERS, keepAlive: (task: Promise<unknown>) => void kept.push(task) };
  // As with a compatibility date from before there was RPC.
  const memberships = new Memberships({ getByName: () => ({}) as never }, platform);
  memberships.reportFailure("weur/1");
  expect(await Promise.allSettled(kept)).toMatchObject([{ status: "fulfilled" }]);
});
