/** How an isolate that only caches learns of rings. */
import { describe, expect, it } from "vitest";
import { RingFollower } from "../../src/caller/ring-follower.ts";
import { Router } from "../../src/caller/router.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import type { Region } from "../../src/ring/region.ts";
import { FakeTime } from "../fake-runtime.ts";

const DEADLINE_MS = 250;

/** @param ring what the membership objects answer */
function follow(ring: (region: Region, isWanted: boolean) => Promise<RingRecord | undefined>) {
  const time = new FakeTime();
  const router = new Router(2);
  const asked: Region[] = [];
  const memberships = {
    ring: (region: Region, isWanted: boolean) => {
      asked.push(region);
      return ring(region, isWanted);
    },
  };
  const follower = new RingFollower({
    router,
    memberships,
    runtime: time.runtime,
    deadlineMs: DEADLINE_MS,
  });
  return { time, router, asked, follower };
}

const record = (version: number, ...owners: string[]) => ({ version, owners, lost: [] });

describe("a follower of rings", () => {
  it("waits for the first ring, and asks for later ones every 5 s without waiting", async () => {
    let version = 1;
    const { time, router, asked, follower } = follow(async () => record(version, "weur/0"));
    const [first, second] = [follower.begin("weur"), follower.begin("weur")];
    await Promise.all([first, second]);
    expect(router.ownersOf("weur")).toEqual(["weur/0"]);
    version = 2;
    await time.pass(4_999);
    expect(follower.begin("weur")).toBeUndefined();
    await time.pass(0);
    expect([asked.length, router.versionOf("weur")]).toEqual([1, 1]);
    await time.pass(1);
    expect(follower.begin("weur")).toBeUndefined();
    await time.pass(0);
    expect([asked.length, router.versionOf("weur")]).toEqual([2, 2]);
  });

  it("uses the configured ring if the membership object hangs or fails", async () => {
    const hanging = follow(() => new Promise(() => {}));
    await hanging.time.until(hanging.follower.begin("weur") as Promise<unknown>);
    expect(hanging.time.nowMs).toBe(DEADLINE_MS);
    const failing = follow(() => Promise.reject(new Error("down")));
    await failing.follower.begin("weur");
    for (const { router } of [hanging, failing]) {
      expect(router.ownersOf("weur")).toEqual(["weur/0", "weur/1"]);
    }
  });

  it("learns the rings of the regions in use, and makes none", async () => {
    const { router, follower } = follow(async (region, isWanted) =>
      isWanted || region === "enam" ? record(7, `${region}/5`) : undefined,
    );
    expect(await follower.inUse()).toEqual(["enam"]);
    expect(router.ownersOf("enam")).toEqual(["enam/5"]);
    expect(router.versionOf("weur")).toBe(0);
    const failing = follow(() => Promise.reject(new Error("down")));
    await expect(failing.follower.inUse()).rejects.toThrow("down");
  });
});
