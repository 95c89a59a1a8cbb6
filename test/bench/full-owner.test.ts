/**
 * What an owner takes when it is loaded and when it writes grows with its keys, and within bounds.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

/** Bytes for each key of a full owner, so that each of its peaks stays below 100 MB. */
const MOST_BYTES_A_KEY = 1e8 / 1_666_600;
const FEW_KEYS = 50_000;
const MANY_KEYS = 450_000;

/** Bytes at most: in steady state, in a checkpoint, and while it is loaded. */
function peaks(keys: number): { steady: number; checkpoint: number; load: number } {
  const file = join(import.meta.dirname, "full-owner.ts");
  const args = ["--expose-gc", file, "--keys", `${keys}`];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  const bytes = (pattern: RegExp) => {
    const [, mb] = stdout.match(pattern) ?? [];
    if (mb === undefined) throw new Error(`no ${pattern} in ${stdout} ${stderr}`);
    return Number(mb) * 1e6;
  };
  return {
    steady: bytes(/(\d+) MB in steady state/),
    checkpoint: bytes(/checkpoint: at most (\d+) MB/),
    load: bytes(/load of .* at most (\d+) MB/),
  };
}

describe("an owner with many keys", () => {
  // What the modules and a few pages take, an owner with few keys takes as well.
  it("takes at most 100 MB in each state, scaled to its keys", () => {
    const few = peaks(FEW_KEYS);
    const many = peaks(MANY_KEYS);
    const most = MOST_BYTES_A_KEY * MANY_KEYS;
    expect(many.steady - few.steady).toBeLessThan(most);
    expect(many.checkpoint - few.checkpoint).toBeLessThan(most);
    expect(many.load - few.load).toBeLessThan(most);
  });
});
