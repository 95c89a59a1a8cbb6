/** How many cases each property is tried with: FUZZ_RUNS, few by default so that all stays quick. */
import fc from "fast-check";
import { inject, vi } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    fuzzRuns: number;
    races: number;
  }
}

const MS_PER_RUN = 10;

fc.configureGlobal({ numRuns: inject("fuzzRuns") });
const timeoutMs = 180_000 + MS_PER_RUN * inject("fuzzRuns");
vi.setConfig({ testTimeout: timeoutMs, hookTimeout: timeoutMs });
