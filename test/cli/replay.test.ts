/** A replay decides as the counters do, in the order of time, and reports what it found. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Clients } from "../../src/cli/replay/clients.ts";
import { InOrder } from "../../src/cli/replay/in-order.ts";
import type { LogRecord } from "../../src/cli/replay/record.ts";
import { Replay } from "../../src/cli/replay/replay.ts";
import { limitFor } from "../../src/cli/replay/tally.ts";
import { Timeline } from "../../src/cli/replay/timeline.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import { parseLimiterConfig } from "../../src/limiter-config.ts";

const START = Date.UTC(2026, 0, 1);

function start(policies: object[], variables: object = {}) {
  const config = parseLimiterConfig(variables);
  const clients = new Clients(config.ipv6Prefix);
  const replay = new Replay(parsePolicies(policies, "policies"), config, clients);
  const take = (name: string, seconds: number, more: Partial<LogRecord> = {}) =>
    replay.take({
      atMs: START + seconds * 1_000,
      address: clients.ofText(name),
      method: "GET",
      target: "/",
      status: 200,
      values: {},
      ...more,
    });
  return { take, replay, report: () => replay.tally.report() };
}

describe("a replay", () => {
  it("counts as a fixed window does", () => {
    const requests = fc.array(
      fc.record({ client: fc.integer({ min: 1, max: 3 }), waits: fc.integer({ min: 0, max: 40 }) }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(requests, (all) => {
        const { take, report } = start([{ limit: 3, window: "60s" }]);
        const counts = new Map<string, number>();
        const needed = new Map<number, number>();
        let seconds = 0;
        let denied = 0;
        for (const { client, waits } of all) {
          seconds += waits;
          const name = `${client} ${Math.floor(seconds / 60)}`;
          const count = (counts.get(name) ?? 0) + 1;
          counts.set(name, count);
          needed.set(client, Math.max(needed.get(client) ?? 0, count));
          if (count > 3) denied++;
          expect(take(`192.0.2.${client}`, seconds)).toBe(count <= 3);
        }
        const { requests, policies, ...found } = report();
        expect([requests, found.denied, found.clients]).toEqual([all.length, denied, needed.size]);
        expect(policies[0]?.limits["0.1%"] ?? 0).toBe(Math.max(0, ...needed.values()));
      }),
    );
  });

  it("counts by path, method and host as the Worker reads them", () => {
    const { take } = start([
      { name: "login", path: "/login", method: ["POST"], limit: 1, window: "1h" },
    ]);
    const login = { method: "POST", target: "/login" };
    expect(take("192.0.2.1", 0, login)).toBe(true);
    expect(take("192.0.2.1", 1, { target: "/login" })).toBe(true);
    expect(take("192.0.2.1", 2, { ...login, target: "//LOGIN/;x=1?a" })).toBe(false);
    expect(take("192.0.2.2", 3, login)).toBe(true);
  });

  it("takes all policies or none", () => {
    const { take, report } = start([
      { name: "all", key: ["host"], limit: 3, window: "1h" },
      { name: "one", limit: 1, window: "1h" },
    ]);
    expect(["a", "a", "a", "b", "c", "d"].map((name) => take(name, 0))).toEqual([
      ...[true, false, false, true, true, false],
    ]);
    const [all, one] = report().policies;
    expect([all?.denied, one?.denied]).toEqual([1, 2]);
  });

  it("gives back what a status is not charged", () => {
    const { take } = start([{ limit: 2, window: "1h", charge: "failure" }]);
    const statuses = [200, 200, 200, 401, 401, 200];
    expect(statuses.map((status) => take("192.0.2.1", 0, { status }))).toEqual([
      ...[true, true, true, true, true, false],
    ]);
  });

  it("needs no more than what is charged, and room for one request more", () => {
    const { take, report } = start([{ limit: 9, window: "1h", charge: "failure" }]);
    for (const status of [200, 200, 401, 200, 401, 200]) take("192.0.2.1", 0, { status });
    expect(report().policies[0]?.limits["1%"]).toBe(3);
  });

  it("finds the limit of a bucket with its burst, so that one less would deny", () => {
    const waits = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 9 }));
    const request = fc.record({ waits, status: fc.constantFrom(200, 200, 401) });
    const algorithm = fc.constantFrom("token-bucket", "leaky-bucket");
    const charge = fc.constantFrom("always", "failure");
    fc.assert(
      fc.property(
        ...([fc.array(request, { minLength: 1, maxLength: 60 }), algorithm, charge] as const),
        fc.integer({ min: 2, max: 5 }),
        (all, algorithm, charge, ratio) => {
          const replayed = (limit: number) => {
            const isLeaky = algorithm === "leaky-bucket";
            const burst = ratio * limit - (isLeaky ? 1 : 0);
            const policy = { limit, window: "3s", algorithm, burst, charge };
            const { take, report } = start([policy]);
            let seconds = 0;
            for (const { waits, status } of all) {
              seconds += waits;
              take("192.0.2.1", seconds, { status });
            }
            return report().policies[0];
          };
          // Under a high limit nothing is denied, and the limit that is found is the least.
          const { limits, bursts } = replayed(200) ?? {};
          const least = limits?.["1%"] ?? 0;
          expect(bursts?.["1%"]).toBe(ratio * least - (algorithm === "leaky-bucket" ? 1 : 0));
          expect(replayed(least)?.denied).toBe(0);
          if (least > 1) expect(replayed(least - 1)?.denied).toBeGreaterThan(0);
        },
      ),
    );
  });

  it.each(["token-bucket", "leaky-bucket", "sliding-log", "fixed-window"])(
    "names for %s at most a limit that denies nobody, and more than one that denies somebody",
    (algorithm) => {
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 }), (waits) => {
          const { take, report } = start([
            { name: "a", limit: 2, window: "10s", algorithm },
            // What it denies, the other one does not count.
            { name: "b", limit: 1, window: "10s" },
          ]);
          let seconds = 0;
          for (const wait of waits) {
            seconds += wait;
            take("192.0.2.1", seconds);
          }
          const [{ denied = 0, limits = {} } = {}] = report().policies;
          if (denied === 0) expect(limits["0.1%"]).toBeLessThanOrEqual(2);
          else expect(limits["0.1%"]).toBeGreaterThan(2);
        }),
      );
    },
  );

  it("follows address lists", () => {
    const { take, report } = start([{ limit: 1, window: "1h" }], {
      ALLOW: ["192.0.2.1"],
      DENY: ["192.0.2.0/24"],
    });
    expect([take("192.0.2.1", 0), take("192.0.2.1", 0), take("192.0.2.9", 0)]).toEqual([
      ...[true, true, false],
    ]);
    expect(report()).toMatchObject({ denied: 1, deniedClients: 1, requests: 3 });
  });

  it("gives a key the limit that an override names", () => {
    const overrides = [{ key: "192.0.2.9", limit: 5 }];
    const { take, report } = start([{ limit: 1, window: "1h", overrides }]);
    const passes = (name: string) => Array.from({ length: 7 }, () => take(name, 0)).filter(Boolean);
    expect([passes("192.0.2.1").length, passes("192.0.2.9").length]).toEqual([1, 5]);
    // The limit that would deny nobody is that for the first client alone.
    const limits = { "0.1%": 7, "1%": 7, "5%": 7 };
    expect(report().policies).toMatchObject([
      { requests: 14, denied: 8, deniedClients: 2, limits },
    ]);
    expect(passes("192.0.2.9")).toEqual([]);
  });

  it("reports shadow without denying, and what it would deny", () => {
    const { take, report } = start([
      { name: "a", limit: 2, window: "1h", shadow: true },
      { name: "b", limit: 1, window: "1h", shadow: true },
      { name: "c", limit: 3, window: "1h" },
    ]);
    for (const seconds of [0, 1, 2]) expect(take("192.0.2.1", seconds)).toBe(true);
    expect(take("192.0.2.1", 3, { target: "/a?b" })).toBe(false);
    expect(take("192.0.2.2", 4)).toBe(true);
    expect(report()).toMatchObject({
      denied: 1,
      deniedPaths: [{ path: "/a", denied: 1 }],
      // What is denied in any case is not counted again.
      shadow: {
        denied: 2,
        deniedClients: 1,
        worstClients: [{ client: "192.0.2.1", requests: 4, denied: 2 }],
        deniedPaths: [{ path: "/", denied: 2 }],
      },
      policies: [{ denied: 2, shadow: true }, { denied: 3 }, { denied: 1 }],
    });
  });

  it("says which policies a log cannot replay", () => {
    const { replay } = start([
      { name: "a", limit: 1, window: "1h" },
      { name: "b", limit: 1, window: "1h", key: ["cookie:session"] },
      { name: "c", limit: 1, window: "1h", algorithm: "concurrency" },
    ]);
    expect(replay.omitted).toEqual([
      { policy: "b", why: "no log has cookie:session of its key" },
      { policy: "c", why: "a log does not tell how long each request took" },
    ]);
    const only = [{ limit: 1, window: "1h", key: ["bot"] }];
    expect(() => start(only)).toThrow("must have one that a log can replay");
  });
});

it("sorts lines that come late, and takes the others as they come", () => {
  const taken: number[] = [];
  const sorted = new InOrder(({ atMs }) => taken.push(atMs / 1_000));
  const times = [10, 5, 40, 30, 100, 20, 99, 200, 10];
  for (const seconds of times) sorted.add({ atMs: seconds * 1_000 } as LogRecord);
  sorted.end();
  expect(taken).toEqual([5, 10, 30, 30, 40, 99, 100, 100, 200]);
  expect(sorted.late).toBe(2);
});

it("sorts as a stable sort does what is at most a minute late", () => {
  const line = fc.record({ atMs: fc.integer({ min: 0, max: 60 }), target: fc.string() });
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const taken: unknown[] = [];
      const sorted = new InOrder((record) => taken.push(record));
      for (const each of lines) sorted.add(each as LogRecord);
      sorted.end();
      expect(taken).toEqual(lines.toSorted((one, other) => one.atMs - other.atMs));
    }),
  );
});

it("holds a bounded number of lines", () => {
  let taken = 0;
  const sorted = new InOrder(() => taken++);
  for (let n = 0; n < 120_000; n++) sorted.add({ atMs: 0 } as LogRecord);
  expect(taken).toBe(70_000);
  sorted.end();
  expect(taken).toBe(120_000);
});

it("finds the limit for a share of clients", () => {
  const peaks = Int32Array.from({ length: 1_000 }, (_, at) => at + 1);
  expect([0, 0.001, 0.01, 0.05, 1].map((share) => limitFor(peaks, share))).toEqual([
    ...[1_000, 999, 990, 950, 0],
  ]);
});

it("keeps a bounded timeline, however long the log is", () => {
  const timeline = new Timeline();
  for (let hours = 0; hours < 24 * 400; hours++) {
    timeline.add(START + hours * 3_600_000);
    timeline.count(hours % 3 ? "shadow" : "denied");
  }
  const intervals = timeline.intervals();
  expect(intervals.length).toBeLessThanOrEqual(121);
  const sum = (of: "requests" | "denied" | "shadow") =>
    intervals.reduce((all, each) => all + each[of], 0);
  expect([sum("requests"), sum("denied"), sum("shadow")]).toEqual([9_600, 3_200, 6_400]);
});
