/** An owner in many lives, whose tables come and go: each life finds what the last one wrote. */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import { PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import { OwnerRig } from "./owner-rig.ts";

const LIMIT = 1_000;
const POLICIES = ["a", "b", "c", "d"].flatMap((name): CounterPolicy[] => {
  const quota = { limit: LIMIT, windowMs: 86_400_000, capacity: LIMIT };
  const policy = { ...quota, cost: 1, shadow: false, durable: false };
  return [
    { ...policy, name, algorithm: "fixed-window" },
    { ...policy, name: `${name}-log`, algorithm: "sliding-log" },
  ];
});
const KEYS = Array.from({ length: 2_600 }, (_, n) => sipHash(PUBLIC_SIP_KEY, `${n}`));

const step = fc.record({
  verb: fc.constantFrom("spend", "spend", "spend", "reset", "drop", "wait"),
  policy: fc.constantFrom(...POLICIES),
  from: fc.nat(2_000),
  count: fc.constantFrom(1, 7, 60, 600),
});
const life = fc.array(step, { minLength: 5, maxLength: 12 });

function rowsOf(owner: Owner): string[] {
  const rows: string[] = [];
  for (const [name, { segments }] of owner.tables) {
    for (const segment of segments) {
      segment.visit(({ hi, lo }, state) => rows.push(`${name} ${hi} ${lo} ${state}`));
    }
  }
  return rows.sort();
}

interface Step {
  verb: string;
  policy: CounterPolicy;
  from: number;
  count: number;
}

/**
 * Runs an owner through these steps, and compares each life's rows with what the last one wrote.
 */
async function live(lives: readonly Step[][]): Promise<void> {
  const rig = new OwnerRig();
  let written: string[] = [];
  for (const steps of lives) {
    const owner = await rig.start();
    expect(rowsOf(owner)).toEqual(written);
    for (const { verb, policy, from, count } of steps) {
      const keys = KEYS.slice(from, from + count);
      const checks = keys.map((key) => ({ key, policies: [policy] }));
      if (verb === "spend") owner.check(checks);
      if (verb === "reset") owner.reset(checks);
      if (verb === "drop") owner.dropTable([...owner.tables.keys()][from % 3] ?? "");
      await rig.wait(verb === "wait" ? CHECKPOINT_INTERVAL_MS : 1);
    }
    await owner.save();
    written = rowsOf(owner);
  }
}

it("has all rows after each of many lives, in which tables come and go", async () => {
  const lives = fc.array(life, { minLength: 4, maxLength: 8 });
  await fc.assert(fc.asyncProperty(lives, live), { numRuns: 40 });
});

it("has a row of the first life, although its table grew before the row was copied", async () => {
  const spend = (name: string, from: number, count: number): Step => {
    const policy = POLICIES.find((each) => each.name === name) as CounterPolicy;
    return { verb: "spend", policy, from, count };
  };
  await live([
    [spend("c", 845, 600), spend("a-log", 7, 1), spend("c-log", 1_996, 600)],
    [spend("c-log", 1_879, 600)],
    [spend("c", 95, 600), spend("b-log", 1_296, 600), spend("a-log", 1_439, 600)],
    [],
  ]);
});
