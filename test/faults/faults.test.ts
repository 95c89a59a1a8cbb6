/** Every fault, briefly, against a really running Turnpike. Says nothing about time. */
import { describe, expect, it } from "vitest";
import { FAULTS } from "./faults.ts";
import { table } from "./report.ts";
import { QUICK, type Row } from "./row.ts";

describe.concurrent("a site", () => {
  it.each(Object.keys(FAULTS))("answers within its bounds: %s", async (name) => {
    const row = await (FAULTS[name] as (typeof FAULTS)[string])(QUICK);
    expect(row).toMatchObject({ broken: [], serverErrors: 0 });
    expect(row.requests).toBeGreaterThan(0);
    expect(row.overAdmitted).toBeLessThanOrEqual(row.bound);
  });
});

it("is reported as one table", () => {
  const row: Row = {
    fault: "a fault",
    requests: 12_345,
    serverErrors: 0,
    overAdmitted: 6,
    bound: 7,
    recoveredSeconds: 1.234,
    also: "all well",
    broken: [],
  };
  const [, , , , line] = table([row, { ...row, recoveredSeconds: undefined, broken: ["x"] }]).split(
    "\n",
  );
  expect(line?.split("│").map((cell) => cell.trim())).toEqual([
    "",
    "a fault",
    "12,345",
    "0",
    "6",
    "7",
    "1.23 s",
    "all well",
    "yes",
    "",
  ]);
});
