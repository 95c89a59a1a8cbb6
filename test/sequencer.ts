/**
 * The order of test files: slow ones first, so that no worker is left alone with one at the end.
 * Files of one kind stay together, since those that share a process share it with the next one only.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Those that wait for real time, start many servers or compute much, the longest first. */
const SLOW = [
  "simulation/simulation",
  "http/in-flight",
  "worker",
  "faults/faults",
  "bench/bench",
  "ring/elastic",
  "cli/deploy",
  "dashboard/live",
  "http/blocks",
  "http/shared-quotas",
  "bench/full-owner",
  "http/waiting",
  "cli/same-verdicts",
  "http/passthrough",
  "dashboard/slow-reader",
  "owner/checkpoint",
  "watch/agreement",
  "watch/watch",
  "ring/interrupted",
  "ring/change",
  "simulation/broken",
  "cache/real-owners",
  "peers/stores",
  "dashboard/demo",
  "cli/operate",
  "cli/policies",
  "http/gateway",
  "http/leaving",
  "http/cors",
  "http/log-lines",
  "http/live-policies",
  "cache/cached-worker",
  "cache/purge-api",
];
const PROJECTS = ["servers", "workerd", "pure"];

export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => place(a) - place(b) || a.moduleId.localeCompare(b.moduleId));
  }
}

function place({ project, moduleId }: TestSpecification): number {
  const slow = SLOW.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
  if (slow >= 0) return slow;
  return SLOW.length + PROJECTS.indexOf(project.name);
}
