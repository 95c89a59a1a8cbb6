import { expect, it } from "vitest";
import { failureReporter } from "../../src/caller/failure-report.ts";
import { STILL } from "../fake-runtime.ts";

it("a report that can't be made fails no request", async () => {
  const kept: Promise<unknown>[] = [];
  const platform = { ...STILL, keepAlive: (task: Promise<unknown>) => void kept.push(task) };
  // As with a compatibility date from before there was RPC.
  const report = failureReporter({ getByName: () => ({}) as never }, platform);
  report("weur/1");
  expect(await Promise.allSettled(kept)).toMatchObject([{ status: "fulfilled" }]);
});
