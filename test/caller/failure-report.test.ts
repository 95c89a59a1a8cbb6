import { expect, it } from "vitest";
import { reportFailure } from "../../src/caller/failure-report.ts";
import { STILL } from "../fake-runtime.ts";

it("a report that can't be made fails no request", async () => {
  const kept: Promise<unknown>[] = [];
  const platform = { ...STILL, keepAlive: (task: Promise<unknown>) => void kept.push(task) };
  // As under a compatibility date from before RPC.
  reportFailure({ getByName: () => ({}) as never }, platform, "weur/1");
  expect(await Promise.allSettled(kept)).toMatchObject([{ status: "fulfilled" }]);
});
