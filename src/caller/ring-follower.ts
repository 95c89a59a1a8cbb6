/**
 * Keeps up with the rings in an isolate that only caches. Elsewhere the owners' answers to checks
 * carry the ring, but such an isolate makes no checks.
 *
 * It asks the membership object before a region is first used, and then every 5 s of traffic.
 * Without membership objects the rings never change.
 */
import { logSeldom } from "../log.ts";
import { withDeadline } from "../protocol/deadline.ts";
import { REGIONS, type Region } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";
import type { MembershipClient } from "./membership-client.ts";
import { CONFIGURED, type Router } from "./router.ts";

interface RingFollowerOptions {
  router: Router;
  memberships: Pick<MembershipClient, "ring"> | undefined;
  runtime: Runtime;
  /** How long the first request waits for the ring. After that it uses the configured one. */
  deadlineMs: number;
}

const ASK_INTERVAL_MS = 5_000;

export class RingFollower {
  readonly #options: RingFollowerOptions;
  /** When each region's ring was last asked for, and the call. */
  readonly #asked = new Map<Region, { atMs: number; call: Promise<unknown> }>();

  constructor(options: RingFollowerOptions) {
    this.#options = options;
  }

  /** Returns what to await before the region's ring is used; undefined if the ring is known. */
  begin(region: Region): Promise<unknown> | undefined {
    const { router, memberships, runtime, deadlineMs } = this.#options;
    if (!memberships) return undefined;
    const nowMs = runtime.now();
    let asked = this.#asked.get(region);
    if (!asked || nowMs - asked.atMs >= ASK_INTERVAL_MS) {
      const call = this.#ask(memberships, region, true).catch((error) => {
        logSeldom("warn", "ring-not-fetched", region, { region, detail: String(error) });
      });
      runtime.keepAlive(call);
      asked = { atMs: nowMs, call };
      this.#asked.set(region, asked);
    }
    if (router.versionOf(region) > CONFIGURED) return undefined;
    return withDeadline(deadlineMs, asked.call, runtime).catch(() => {});
  }

  /**
   * Returns the regions that have a ring, and learns their rings.
   *
   * @throws {CallError} if a membership object does not answer
   */
  async inUse(): Promise<readonly Region[]> {
    const { memberships } = this.#options;
    if (!memberships) return REGIONS;
    const used = await Promise.all(REGIONS.map((region) => this.#ask(memberships, region, false)));
    return REGIONS.filter((_, at) => used[at]);
  }

  async #ask(
    memberships: Pick<MembershipClient, "ring">,
    region: Region,
    isWanted: boolean,
  ): Promise<boolean> {
    const { router } = this.#options;
    const known = router.versionOf(region);
    const ring = await memberships.ring(region, isWanted);
    if (ring) router.learn(region, known, ring);
    return ring !== undefined;
  }
}
