/** An isolate's caller with fake owners, for the tests of one call. The clock moves by hand. */
import { afterEach, beforeEach, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import type { Observer, Question } from "../../src/caller/question.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { STILL } from "../fake-runtime.ts";
import { FakeOwners } from "./fake-owners.ts";

const DEADLINE_MS = 30;
export const SECRET_KEY = "198.51.100.77";

/** What each test has anew: the owners, a caller that asks them, what it reports and logs. */
export let owners: FakeOwners;
export let reported: string[];
export let caller: Caller;
export let warnings: string[];
export let nowMs = Date.UTC(2036, 10, 22, 12);

export function ask(change: Partial<PolicyInput> = {}, question: Partial<Question> = {}): Question {
  const policy = parsePolicy({ limit: 10, window: "1d", ...change });
  return { key: [SECRET_KEY], policies: [policy], region: "weur", ...question };
}

export async function check(question = ask(), asking = caller) {
  const [reply] = await asking.check([question]);
  return reply?.decisions[0];
}

export function isolate(
  ownersPerRegion = 4,
  deadlineMs = DEADLINE_MS,
  observer?: Omit<Observer, "called">,
): Caller {
  return new Caller({
    owners,
    ownersPerRegion,
    homeRegion: "sam",
    hashSecret: "secret",
    deadlineMs,
    runtime: STILL,
    reportFailure: (owner) => void reported.push(owner),
    observer,
  });
}

/** Gives each test of a file an isolate that started at noon of a day of its own. */
export function useFreshIsolate(): void {
  beforeEach(() => {
    // Noon: no window ends while a test runs, unless it moves the clock. Each test has a day of its
    // own, so that `logSeldom` forgets what earlier tests logged.
    nowMs += 86_400_000;
    vi.useFakeTimers({ toFake: ["Date"], now: nowMs });
    owners = new FakeOwners();
    caller = isolate();
    reported = [];
    warnings = [];
    vi.spyOn(console, "warn").mockImplementation((line) => void warnings.push(line));
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
}
