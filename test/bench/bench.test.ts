/** The benchmark's own code: its load, its counts, its reports. Says nothing about time. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArguments } from "./arguments.ts";
import { batches } from "./batches.ts";
import { chart } from "./chart.ts";
import {
  CONTENDERS,
  type Contender,
  contendersOf,
  FAR_CONTENDERS,
  FLOOR,
  TURNPIKE,
} from "./contenders.ts";
import { costElsewhere, costOf } from "./cost.ts";
import { LATENCY_CONTENDERS, latencies } from "./latency.ts";
import { askOnceEach } from "./load.ts";
import { table } from "./report.ts";
import { type Row, run, start } from "./rounds.ts";
import { median, percentile } from "./statistics.ts";
import type { WorkerdServer } from "./workerd-server.ts";
import { addressOf, workloads, zipf } from "./workloads.ts";

const CLIENTS = 100;
/** The warm-up is long enough for each owner to ask for its ring, on a busy machine too. */
const LOAD = { connections: 8, warmUpSeconds: 0.4, seconds: 0.2 };
const known = workloads(CLIENTS);

describe("a round", () => {
  const contenders = contendersOf("a");
  let rows: Row[];

  beforeAll(async () => {
    const plan = { contenders, workload: known.a, load: LOAD, rounds: 1 };
    rows = await run({ ...plan, primingSeconds: 0, onStep: () => {} });
  });

  it("gets nothing but answers from every contender", () => {
    expect(rows.map(({ contender }) => contender)).toEqual(contenders.map(({ name }) => name));
    for (const row of rows) {
      expect(row).toMatchObject({ errors: 0, denied: 0 });
      expect(row.requestsPerSecond).toBeGreaterThan(0);
    }
  });

  it("counts the calls to objects and what they carry", () => {
    for (const { contender, checksPerRpc } of rows) {
      if (contender === FLOOR || contender === "fields-only") expect(checksPerRpc).toBeNaN();
      else if (/^(turnpike|shared)/.test(contender)) expect(checksPerRpc).toBeGreaterThanOrEqual(1);
      else expect(checksPerRpc).toBe(1);
    }
  });

  it("is shown as a table and as a chart", () => {
    const lines = table(known.a.title, rows).split("\n");
    expect(lines[0]).toBe("(a) 100 IPs evenly, all allowed");
    expect(lines.filter((line) => /│ +1\.00 │.*│ +0\.0 % │ +0 │$/.test(line))).not.toEqual([]);
    const svg = chart({ [known.a.title]: rows });
    expect(svg).toMatch(/^<svg [^>]*>.*<\/svg>$/s);
    for (const { name } of contenders) expect(svg).toContain(`>${name}</text>`);
  });
});

describe("attackers", () => {
  const contenders = CONTENDERS.filter(({ name }) => name !== FLOOR && name !== "bare-rpc");
  let server: WorkerdServer;

  afterAll(() => server?.stop());

  it.each(contenders)("of $name pass once each, and then never", async (contender: Contender) => {
    await server?.stop();
    // A busy machine must not have attackers counted by the fallback.
    const vars = { ...contender.vars, DEADLINE: "10s" };
    server = await start({ ...contender, vars }, known.d);
    const ask = () => askOnceEach(server, known.d, LOAD.connections, 20);
    expect(await ask()).toEqual({ allowed: CLIENTS, denied: 0, errors: 0 });
    expect(await ask()).toEqual({ allowed: 0, denied: CLIENTS, errors: 0 });
  });

  it("are told by the fixed answer what Turnpike tells them", async () => {
    const answers: unknown[] = [];
    for (const contender of contendersOf("c").filter(({ name }) =>
      /^(turnpike|fixed-429)$/.test(name),
    )) {
      await server?.stop();
      server = await start(contender, known.c);
      await fetch(server.url);
      const response = await fetch(server.url);
      const told = [...response.headers].filter(([name]) => name !== "date");
      const text = JSON.stringify([response.status, told, await response.text()]);
      answers.push(text.replace(/in [^.]+\./, "in 0 s.").replaceAll(/\d+/g, "0"));
    }
    expect(answers[0]).toContain("quota-exceeded");
    expect(answers[1]).toBe(answers[0]);
  });

  it("are all denied while they are measured, and one of them costs hardly a call", async () => {
    const turnpike = CONTENDERS.filter(({ name }) => name === TURNPIKE);
    const plan = { contenders: turnpike, load: LOAD, rounds: 1, primingSeconds: 20 };
    const [one] = await run({ ...plan, workload: known.c, onStep: () => {} });
    expect(one).toMatchObject({ denied: 1, errors: 0 });
    expect(one?.requestsPerRpc).toBeGreaterThan(10);
  });
});

describe("latency and batches", () => {
  it("are measured with a far owner, too", async () => {
    const [contenders, perSecond] = [FAR_CONTENDERS, 20];
    const plan = { workload: known.a, load: LOAD, rounds: 1, contenders, perSecond };
    const rows = await latencies({ ...plan, onStep: () => {} });
    expect(rows.map(({ contender }) => contender)).toEqual(contenders.map(({ name }) => name));
    for (const { errors, p50Ms } of rows) {
      expect(errors).toBe(0);
      expect(p50Ms).toBeGreaterThan(35);
    }
  });

  it("are measured without an error", async () => {
    const plan = { workload: known.a, load: LOAD, rounds: 1, onStep: () => {} };
    const rows = await latencies(plan);
    expect(rows).toHaveLength(LATENCY_CONTENDERS.length);
    for (const row of rows) {
      expect(row.errors).toBe(0);
      expect(row.p99Ms).toBeGreaterThanOrEqual(row.p50Ms);
    }
    for (const figure of Object.values(await batches(1, 5))) expect(figure).toBeGreaterThan(0);
  });
});

describe("the parts by themselves", () => {
  it("are timed, each of them", async () => {
    const script = join(import.meta.dirname, "micro.ts");
    const args = ["--expose-gc", "--no-warnings", script, "--quick"];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
    expect(stderr).toBe("");
    expect(stdout.match(/÷ first/g)).toHaveLength(7);
    expect(stdout).not.toMatch(/NaN|undefined/);
  });
});

describe("the command line", () => {
  it("has all workloads and five rounds unless told", () => {
    expect(readArguments([])).toMatchObject({ rounds: 5 });
    expect(readArguments([]).work).toEqual(["a", "b", "c", "d", "latency", "far", "batches"]);
    expect(readArguments(["--work", "d,a", "--rounds", "2"])).toMatchObject({
      work: ["a", "d"],
      rounds: 2,
    });
  });

  it.each([
    [["--work", "a,e"], '--work must be a list of a, b, c, d, latency, far, batches, not "a,e"'],
    [["--rounds", "0"], '--rounds must be a whole number from 1 to 100, not "0"'],
    [["--seconds", "x"], '--seconds must be a number from 0.1 to 60, not "x"'],
    [["--fast"], "Unknown option '--fast'"],
  ])("refuses %j", (args, message) => {
    expect(() => readArguments(args)).toThrow(message);
  });
});

describe("drawing", () => {
  it("gives each client an address of its own", () => {
    expect([0, 255, 256, 99_999].map(addressOf)).toEqual([
      "10.0.0.0",
      "10.0.0.255",
      "10.0.1.0",
      "10.1.134.159",
    ]);
  });

  it("draws the first of Zipf's numbers as often as its law says", () => {
    const draw = zipf(3, 1);
    const drawn = Array.from({ length: 11_000 }, draw);
    // 1 : 1/2 : 1/3 are 6 : 3 : 2 of 11; ± 5 standard deviations.
    for (const [at, expected] of [6_000, 3_000, 2_000].entries()) {
      expect(Math.abs(drawn.filter((number) => number === at).length - expected)).toBeLessThan(265);
    }
  });

  it("takes the middle one, and the one that 99 of 100 do not exceed", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(
      percentile(
        Array.from({ length: 200 }, (_, n) => n + 1),
        0.99,
      ),
    ).toBe(198);
    expect(median([])).toBeNaN();
  });
});

describe("the cost of a month", () => {
  const usage = {
    checks: 1e9,
    cachedShare: 0,
    checksPerRpc: 20,
    ownerHours: 0,
    rowsPerOwnerHour: 0,
  };

  it("is paid by the RPC, not by the check", () => {
    // 1e9 / 20 = 50 M, 1 M of them included, at $0.15 a million.
    expect(costOf(usage).total).toBeCloseTo(7.35, 6);
    // Half of them cached: 25 M − 1 M.
    expect(costOf({ ...usage, cachedShare: 0.5 }).requests).toBeCloseTo(3.6, 6);
  });

  it("has duration and rows of owners that are busy all month", () => {
    const busy = { ...usage, ownerHours: 4 * 730, rowsPerOwnerHour: 20_000 };
    // 2,920 h × 3,600 s × 0.128 GB = 1,345,536 GB-s, 400,000 included, at $12.50 a million.
    expect(costOf(busy).duration).toBeCloseTo(11.8192, 6);
    // 58.4 M rows, 50 M included, at $1 a million.
    expect(costOf(busy).rows).toBeCloseTo(8.4, 6);
    expect(costOf(busy).total).toBeCloseTo(7.35 + 11.8192 + 8.4, 6);
  });

  it("is nothing within the allowance", () => {
    expect(costOf({ ...usage, checks: 20e6 }).total).toBe(0);
  });

  it("is set beside what others take", () => {
    expect(Object.values(costElsewhere(1e9)).map(Math.round)).toEqual([150, 4_000, 8_000, 5_490]);
  });

  it("refuses what cannot be", () => {
    expect(() => costOf({ ...usage, checksPerRpc: 0.5 })).toThrow("checksPerRpc must be a number");
    expect(() => costOf({ ...usage, cachedShare: 2 })).toThrow("from 0 to 1, not 2");
  });
});
