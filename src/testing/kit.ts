/**
 * The test kit: has an app's limiters count in memory, by a clock that the test moves.
 *
 * The app stays as it is. Callers and owners are the real ones; owners keep nothing on disk and
 * answer at once, so no deadline ever ends.
 */
import { claimedPolicies, freeNames, isolateConfig, replaceCaller } from "../caller/isolate.ts";
import { isIpv6, networkOf, readAddress } from "../limit/address-list.ts";
import { MisuseError } from "../limit/misuse.ts";
import { unlogged } from "../log.ts";
import { runOn } from "../runtime.ts";
import { type Clock, TestClock } from "./clock.ts";
import { MemoryOwners } from "./memory-owners.ts";
import { type Call, RecordingCaller } from "./recording-caller.ts";

/** Longer waits of a caller are deadlines, which owners in memory never miss. */
const LONGEST_PAUSE_MS = 1_000;
/** An event that the kit does not log: requests in tests have no address. */
const NO_NEWS = "clients-not-told-apart";

export interface TestKit {
  /** The clock of all limiters. It stands still until the test moves it. */
  readonly clock: Clock;
  /**
   * Uses up a key's quota, so that its policy denies its next requests until the clock has moved
   * on.
   *
   * @param key an address, or as `calls()` shows it: a text, or a list of parts. Default every key
   * @param policy name of a policy. Default every policy
   * @throws {MisuseError} if the app has made no policy of that name
   */
  deny(key?: string | readonly string[], policy?: string): void;
  /** Returns the calls of limiters since the last `reset`, in order. */
  calls(): readonly Call[];
  /**
   * From now until `reset`, no owner answers, so each policy does what its `onFailure` says.
   *
   * @throws {MisuseError} after a call, since an isolate may answer from what it remembers of it
   */
  failOwners(): void;
  /**
   * Begins anew: no counts, no calls, no denials, owners that answer, the clock at its start. An
   * app that is made anew may give its policies other fields under the same names.
   */
  reset(): void;
  /** Lets the app count again as it did without the kit. */
  uninstall(): void;
}

let installed: TestKit | undefined;

/**
 * Makes all limiters of this process, or of this Worker, count in memory. Resets the kit if it is
 * already installed.
 *
 * @example
 * const kit = installTestKit();
 * kit.deny();
 * expect((await app.request("/")).status).toBe(429);
 */
export function installTestKit(): TestKit {
  if (installed) installed.reset();
  else installed = newKit();
  return installed;
}

function newKit(): TestKit {
  const clock = new TestClock();
  const owners = new MemoryOwners(clock.runtime);
  const caller = new RecordingCaller({
    ...isolateConfig(),
    owners,
    deadlineMs: Number.POSITIVE_INFINITY,
    runtime: { ...clock.runtime, wait: pause },
  });
  const callerBefore = replaceCaller(caller);
  const runtimeBefore = runOn(clock.runtime);
  unlogged.add(NO_NEWS);
  const requireInstalled = () => {
    if (installed === kit) return;
    throw new Error("the test kit is not installed: call installTestKit() and use what it returns");
  };

  const kit: TestKit = {
    get clock() {
      requireInstalled();
      return clock;
    },
    deny(key, policy) {
      requireInstalled();
      const names = claimedPolicies().map(({ name }) => name);
      if (policy !== undefined && !names.includes(policy)) {
        const made = names.join(", ") || "none yet";
        const rule = `must be one that the app has made: ${made}`;
        throw new MisuseError("policy", rule, policy);
      }
      for (const each of keysOf(key)) caller.deny(each, policy);
    },
    calls() {
      requireInstalled();
      return [...caller.calls];
    },
    failOwners() {
      requireInstalled();
      if (caller.calls.length > 0) {
        const rule = "must come before the first call: call reset() of the kit in front of it";
        throw new MisuseError("failOwners()", rule, caller.calls.length);
      }
      owners.isFailing = true;
    },
    reset() {
      requireInstalled();
      owners.restart();
      caller.restart();
      clock.reset();
      freeNames();
    },
    uninstall() {
      requireInstalled();
      clock.reset();
      replaceCaller(callerBefore);
      runOn(runtimeBefore);
      unlogged.delete(NO_NEWS);
      installed = undefined;
    },
  };
  return kit;
}

/** Waits for a caller: a pause takes no time, and a deadline never ends. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= LONGEST_PAUSE_MS) resolve();
  });
}

/** Returns the keys that a text may mean: the text, and for an address also its key under `ip`. */
function keysOf(key: string | readonly string[] | undefined): (readonly string[] | undefined)[] {
  if (typeof key !== "string") return [key];
  const address = readAddress(key);
  if (!address) return [[key]];
  const { ipv6Prefix } = isolateConfig();
  const counted = isIpv6(address) ? networkOf(address, ipv6Prefix) : address;
  return counted === key ? [[key]] : [[key], [counted]];
}
