/** Which keys an isolate refreshes, and until when. */
import { expect, it } from "vitest";
import { Refreshes } from "../../src/cache/refreshes.ts";
import { movingDate, settled } from "./moving-date.ts";

const pass = movingDate();

it("a key is refreshed once at a time, though an earlier refresh ends late", async () => {
  const refreshes = new Refreshes();
  const begun: PromiseWithResolvers<void>[] = [];
  const begin = () =>
    refreshes.begin("k", () => {
      const refresh = Promise.withResolvers<void>();
      begun.push(refresh);
      return refresh.promise;
    });
  begin();
  begin();
  expect(begun).toHaveLength(1);
  pass(30_000);
  begin();
  expect(begun).toHaveLength(2);
  begun[0]?.reject(new Error("late"));
  await settled();
  begin();
  expect(begun).toHaveLength(2);
  begun[1]?.resolve();
  await settled();
  begin();
  expect(begun).toHaveLength(3);
});
