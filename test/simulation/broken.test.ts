/** The protocol broken on purpose: the simulation notices each time. */
import { beforeAll, describe, expect, test } from "vitest";
import { seeds, silence, simulate } from "./simulate.ts";
import { VARIANTS } from "./variants.ts";

/** Seeds within which the simulation notices a broken protocol. */
const ENOUGH_SEEDS = 500;

beforeAll(silence);

describe("a protocol that", () => {
  test.for(Object.entries(VARIANTS))("%s is caught", async ([, variant]) => {
    const failure = await simulate(seeds(ENOUGH_SEEDS), variant);
    expect(failure?.violation).toMatch(
      /counted|exact|passed|fallback|keeps|has left the ring|the live version/,
    );
  });
});
