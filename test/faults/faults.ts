/** All faults there are, by the name that the command line takes. */
import { abort, evict, kill } from "./crashes.ts";
import { FAILURES, fail, freeze } from "./failures.ts";
import { floodKeys, floodNetwork } from "./floods.ts";
import { hotKey } from "./hot-key.ts";
import type { Row, Scale } from "./row.ts";
import { soak } from "./soak.ts";
import { fill } from "./storage.ts";

const MANY = 1_000_000_000;

export type Meet = (scale: Scale) => Promise<Row>;

export const FAULTS: Record<string, Meet> = {
  kill,
  abort,
  evict,
  freeze,
  ...Object.fromEntries(
    Object.keys(FAILURES).map((name): [string, Meet] => [name, (scale) => fail(name, scale)]),
  ),
  storage: fill,
  keys: floodKeys,
  network: floodNetwork,
  "hot-denied": (scale) => hotKey("a hot key far above its limit", 100, scale),
  "hot-allowed": (scale) => hotKey("a hot key within its limit", MANY, scale),
  soak,
};
