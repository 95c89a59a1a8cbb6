import { describe, expect, it, vi } from "vitest";
import { DENIAL_TRUST_MS } from "../../src/caller/denial-cache.ts";
import { MAX_FAILURES, MAX_LATE, OPEN_MS } from "../../src/protocol/breaker.ts";
import { WIRE_VERSION } from "../../src/protocol/wire.ts";
import { STILL, turn } from "../fake-runtime.ts";
import {
  ask,
  caller,
  check,
  isolate,
  owners,
  reported,
  SECRET_KEY,
  useFreshIsolate,
  warnings,
} from "./fake-isolate.ts";

useFreshIsolate();

describe("an owner that fails", () => {
  const overloaded = Object.assign(new Error("too many requests queued"), { overloaded: true });
  /**
   * Returns an answer: the owner's clock, its epoch and one verdict (reason, remaining, reset,
   * retry after, delay).
   */
  const saying =
    (...numbers: number[]) =>
    () =>
      Float64Array.of(1, 0, ...numbers);
  const [OK, LIMITED] = [0, 2];
  const fine = saying(OK, 9, 1, 0, 0);
  const faults: [string, string, () => unknown][] = [
    ["throws", "threw", () => Promise.reject(new Error("broken"))],
    ["hangs past the deadline", "deadline", () => new Promise(() => {})],
    ["is overloaded", "overloaded", () => Promise.reject(overloaded)],
    ["answers nothing", "nonsense", () => undefined],
    ["answers with words", "nonsense", () => "denied"],
    ["answers with objects", "nonsense", () => ({ verdicts: [[{ allowed: false }]] })],
    ["answers without its clock", "nonsense", () => new Float64Array()],
    ["answers too little", "nonsense", () => Float64Array.of(WIRE_VERSION, 1, 0, LIMITED, 0, 1, 1)],
    ["answers too much", "nonsense", () => Float64Array.of(WIRE_VERSION, 1, 0, OK, 9, 1, 0, 0, 0)],
    ["has no clock", "nonsense", () => Float64Array.of(Number.NaN, 0, OK, 9, 1, 0, 0)],
    ["has no epoch", "nonsense", () => Float64Array.of(1, Number.NaN, OK, 9, 1, 0, 0)],
  ];

  it.each(faults)(
    "that %s is stood in for, with one warning that names no key",
    async (_, failure, fault) => {
      owners.misbehave = fault;
      expect(await check()).toMatchObject({
        allowed: true,
        remaining: 9,
        reason: "ok",
        source: "fallback",
        exact: false,
      });
      expect(warnings).toHaveLength(1);
      expect(JSON.parse(warnings[0] as string)).toMatchObject({
        event: "owner-failed",
        owner: expect.stringMatching(/^weur\/[0-3]$/),
        failure,
        failuresInARow: 1,
      });
      expect(warnings[0]).not.toContain(SECRET_KEY);
    },
  );

  const oddities: [string, () => unknown][] = [
    ["gives a reason that is none", saying(9, 0, 1, 1, 0)],
    ["gives half a reason", saying(1.5, 0, 1, 1, 0)],
    ["denies without a wait", saying(LIMITED, 0, 1, 0, 0)],
    ["denies what there is room for", saying(LIMITED, 9, 1, 1, 0)],
    ["denies for ages", saying(LIMITED, 0, 1, 2 ** 53, 0)],
    ["allows with a wait", saying(OK, 9, 1, 5, 0)],
    ["leaves more than there is", saying(OK, 11, 1, 0, 0)],
    ["leaves less than nothing", saying(OK, -1, 1, 0, 0)],
    ["leaves half a unit", saying(OK, 2.5, 1, 0, 0)],
    ["answers NaN", saying(OK, 9, Number.NaN, 0, 0)],
  ];

  it.each(oddities)("that %s fails that check, and not its other keys", async (_, oddity) => {
    const one = isolate(1);
    owners.misbehave = oddity;
    for (let n = 0; n <= MAX_FAILURES; n++) {
      const stoodIn = { allowed: true, remaining: 9 - n, source: "fallback", exact: false };
      expect(await check(ask(), one)).toMatchObject(stoodIn);
    }
    owners.misbehave = undefined;
    const other = ask({}, { key: ["another"] });
    expect(await check(other, one)).toMatchObject({ source: "owner", exact: true });
    expect(reported).toEqual([]);
    // At most one line a minute, with no key in it.
    expect(warnings.length).toBeLessThanOrEqual(1);
    for (const line of warnings) {
      expect(JSON.parse(line)).toMatchObject({ event: "verdict-refused", owner: "weur/0" });
      expect(line).not.toContain(SECRET_KEY);
    }
  });

  it("is believed on the other checks of a batch", async () => {
    const one = isolate(1);
    const numbers = [OK, 9, 1, 0, 0, LIMITED, 9, 1, 1, 0, OK, 7, 1, 0, 0];
    owners.misbehave = () => Float64Array.of(1, 0, ...numbers);
    const questions = ["a", "b", "c"].map((key) => ask({}, { key: [key] }));
    const replies = await one.check(questions);
    expect(replies.map(({ decisions }) => decisions[0]?.source)).toEqual([
      "owner",
      "fallback",
      "owner",
    ]);
    expect(replies[2]?.decisions[0]?.remaining).toBe(7);
  });

  it("is not called again to make up for it", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    await check();
    expect(owners.calls).toHaveLength(1);
  });

  it("is replaced by counts in the isolate by default, up to the limit", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    const decisions = [];
    for (let n = 0; n < 11; n++) decisions.push(await check());
    expect(decisions.map((decision) => decision?.allowed)).toEqual([
      ...Array<boolean>(10).fill(true),
      false,
    ]);
    expect(decisions[10]).toMatchObject({ reason: "limited", source: "fallback", exact: false });
  });

  it("lets requests pass, or denies them, if the policy says so", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    const failed = { reason: "failed", source: "fallback", exact: false };
    expect(await check(ask({ onFailure: "allow" }))).toMatchObject({ allowed: true, ...failed });
    expect(await check(ask({ onFailure: "deny" }))).toMatchObject({
      allowed: false,
      retryAfterMs: OPEN_MS,
      ...failed,
    });
  });

  it("is skipped after three failures in a row", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    for (let n = 0; n < 20; n++) expect(await check()).toMatchObject({ source: "fallback" });
    expect(owners.calls).toHaveLength(MAX_FAILURES);
  });

  it("is skipped when two calls in a row get no answer, without paying the deadline", async () => {
    owners.misbehave = () => new Promise(() => {});
    for (let n = 0; n < MAX_LATE; n++) await check();
    expect(owners.calls).toHaveLength(MAX_LATE);
    const waits = vi.spyOn(STILL, "wait");
    for (let n = 0; n < 20; n++) expect(await check()).toMatchObject({ source: "fallback" });
    expect(waits).not.toHaveBeenCalled();
    expect(owners.calls).toHaveLength(MAX_LATE);
    expect(warnings).toHaveLength(1);
  });

  it("is reported when it is skipped, and every ten seconds while it is", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    for (let n = 0; n < MAX_FAILURES - 1; n++) await check();
    expect(reported).toEqual([]);
    await check();
    const owner = owners.calls[0]?.owner;
    expect(reported).toEqual([owner]);
    for (let second = 0; second < 10; second++) {
      expect(reported).toEqual([owner]);
      vi.advanceTimersByTime(1_000);
      await check();
    }
    expect(reported).toEqual([owner, owner]);
  });

  it("is tried by one request after a second, and used again once it answers", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    for (let n = 0; n < MAX_FAILURES; n++) await check();
    vi.advanceTimersByTime(OPEN_MS);
    await Promise.all([check(), check(), check()]);
    expect(owners.calls).toHaveLength(MAX_FAILURES + 1);
    owners.misbehave = undefined;
    expect(await check()).toMatchObject({ source: "fallback" });
    vi.advanceTimersByTime(OPEN_MS);
    expect(await check()).toMatchObject({ source: "owner", exact: true });
    expect(await check()).toMatchObject({ source: "owner", exact: true });
  });

  it("does not keep others from being asked", async () => {
    await check();
    const bad = owners.calls[0]?.owner;
    owners.misbehave = (owner) => (owner === bad ? Promise.reject(new Error("broken")) : fine());
    const heard = new Set<string | undefined>();
    for (let n = 0; n < 40; n++) {
      const decision = await check(ask({}, { key: [`key ${n}`] }));
      if (decision?.source === "owner") heard.add(owners.calls.at(-1)?.owner);
    }
    expect([...heard].sort()).toEqual(
      ["weur/0", "weur/1", "weur/2", "weur/3"].filter((owner) => owner !== bad),
    );
  });

  it("does not include one that only denies", async () => {
    await check(ask({ cost: 10 }));
    for (let n = 0; n < 10; n++) {
      vi.advanceTimersByTime(DENIAL_TRUST_MS);
      expect(await check()).toMatchObject({ allowed: false, source: "owner", exact: true });
    }
    expect(warnings).toEqual([]);
  });

  it("makes a reset fail if its answer makes no sense", async () => {
    owners.misbehave = saying(OK, 11, 1, 0, 0);
    await expect(caller.reset([ask()])).rejects.toMatchObject({ failure: "nonsense" });
  });

  it("is logged once a minute, however often it fails", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    for (let second = 0; second < 59; second++) {
      await check();
      vi.advanceTimersByTime(1_000);
    }
    expect(warnings).toHaveLength(1);
    vi.advanceTimersByTime(1_000);
    await check();
    expect(warnings).toHaveLength(2);
    expect(JSON.parse(warnings[1] as string).times).toBeGreaterThan(10);
  });

  it("is logged as too far away if each of its answers is late", async () => {
    const far = isolate(4, 1);
    let answer = () => {};
    owners.misbehave = () =>
      new Promise<void>((resolve) => {
        answer = resolve;
      });
    for (let second = 0; second < 6; second++) {
      const [reply] = await far.check([ask()]);
      expect(reply?.decisions[0]).toMatchObject({ source: "fallback", exact: false });
      answer();
      await turn();
      vi.advanceTimersByTime(OPEN_MS);
    }
    const events = warnings.map((line) => JSON.parse(line));
    expect(events.map(({ event }) => event).sort()).toEqual(["deadline-too-short", "owner-failed"]);
    const told = events.find(({ event }) => event === "deadline-too-short");
    expect(told).toMatchObject({ owner: owners.calls[0]?.owner, deadlineMs: 1, times: 1 });
    expect(told.tookMs).toBeGreaterThanOrEqual(0);
  });

  it("is not logged as too far away if it was late for a moment, or never answers", async () => {
    const far = isolate(4, 1);
    const answers: (() => void)[] = [];
    owners.misbehave = () => new Promise<void>((resolve) => void answers.push(resolve));
    for (let n = 0; n < 3; n++) await far.check([ask()]);
    for (const answer of answers) answer();
    await turn();
    owners.misbehave = () => new Promise(() => {});
    for (let second = 0; second < 6; second++) {
      vi.advanceTimersByTime(OPEN_MS);
      await far.check([ask()]);
    }
    expect(warnings.join()).not.toContain("deadline-too-short");
  });

  it("is logged as of another class if it lacks the method", async () => {
    const errors = vi.spyOn(console, "error").mockImplementation(() => {});
    const said = 'The RPC receiver does not implement the method "check".';
    owners.misbehave = () => Promise.reject(new TypeError(said));
    for (let n = 0; n < 20; n++) await check();
    expect(errors).toHaveBeenCalledTimes(1);
    expect(JSON.parse(errors.mock.calls[0]?.[0])).toMatchObject({
      event: "wrong-class",
      detail:
        'TURNPIKE_OWNERS must be a Durable Object binding with the class_name RateLimiter, got one without the method "check"',
    });
    expect(warnings).toEqual([]);
    expect(reported).toEqual([]);
  });

  it("makes a reset fail, since nothing can stand in for it", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    await expect(caller.reset([ask()])).rejects.toMatchObject({
      name: "CallError",
      failure: "threw",
    });
  });
});
