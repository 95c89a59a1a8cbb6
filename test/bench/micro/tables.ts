/** The counter table: inserting, finding and writing keys, among few and among many. */
import { newTable } from "../../../src/counters/table-name.ts";
import { endless, keys } from "./keys.ts";
import { OPERATIONS, timed } from "./timing.ts";

const STATE = [2_000_000_000_000, 1] as const;

export async function tables(sizes: readonly number[]): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const size of sizes) {
    const all = keys(size);
    const key = endless(all);
    const table = newTable("fixed-window/1000/bench");
    const startMs = performance.now();
    for (const each of all) table.set(each, STATE);
    const label = size.toLocaleString("en");
    found[`insert ${label} keys, growing`] = ((performance.now() - startMs) * 1e6) / size;
    const times = await timed({
      [`find one of ${label}`]: () => {
        for (let n = 0; n < OPERATIONS; n++) table.get(key());
      },
      [`write one of ${label}`]: () => {
        for (let n = 0; n < OPERATIONS; n++) table.set(key(), STATE);
      },
    });
    Object.assign(found, times);
  }
  return found;
}
