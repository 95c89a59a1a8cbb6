import { beforeEach, describe, expect, it, vi } from "vitest";
import { logSeldom, MAX_SUBJECTS } from "../src/log.ts";
import { useStoppedClock } from "./stopped-clock.ts";

const now = useStoppedClock();
let lines: { event: string; times: number; n?: number }[];

beforeEach(() => {
  lines = [];
  vi.spyOn(console, "warn").mockImplementation((line) => void lines.push(JSON.parse(line)));
});

function tell(subject: string, n = 0): void {
  logSeldom("warn", "owner-failed", subject, { n });
}

describe("what a request can cause", () => {
  it("is logged once a minute, with the number of events that each line stands for", () => {
    for (let n = 0; n < 200; n++) tell("a", n);
    expect(lines).toEqual([{ event: "owner-failed", n: 0, times: 1 }]);
    vi.advanceTimersByTime(59_999);
    tell("a", 200);
    expect(lines).toHaveLength(1);
    vi.advanceTimersByTime(1);
    tell("a", 201);
    expect(lines[1]).toEqual({ event: "owner-failed", n: 201, times: 201 });
    vi.advanceTimersByTime(60_000);
    tell("a", 202);
    expect(lines[2]).toEqual({ event: "owner-failed", n: 202, times: 1 });
  });

  it("is told apart by event and by subject", () => {
    tell("a");
    tell("b");
    logSeldom("warn", "origin-failed", "a");
    tell("b");
    expect(lines.map(({ event }) => event)).toEqual([
      "owner-failed",
      "owner-failed",
      "origin-failed",
    ]);
  });

  it("shares one line where there are more subjects than are told apart", () => {
    for (let n = 0; n < 5 * MAX_SUBJECTS; n++) tell(`subject ${n}`);
    expect(lines.length).toBeLessThanOrEqual(MAX_SUBJECTS + 1);
    const count = lines.length;
    for (let n = 0; n < 5 * MAX_SUBJECTS; n++) tell(`subject ${n}`);
    expect(lines).toHaveLength(count);
    vi.advanceTimersByTime(60_000);
    tell("new");
    expect(lines.at(-1)).toMatchObject({ times: 1 });
    expect(lines).toHaveLength(count + 1);
  });

  it("is logged again at once by a clock that was set back", () => {
    tell("a");
    vi.setSystemTime(now() - 3_600_000);
    tell("a");
    expect(lines).toHaveLength(2);
  });
});
