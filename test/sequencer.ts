/**
 * The order of test files: slow ones first, so that no worker is left alone with one at the end.
 * Files of one kind stay together, since those that share a process share it with the next one only.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Those that wait for real time or start many servers, the longest first. */
const SLOW = [
  "faults/faults",
  "worker",
  "http/in-flight",
  "simulation/simulation",
  "simulation/broken",
  "http/waiting",
  "ring/interrupted",
  "bench/bench",
  "http/shared-quotas",
  "http/blocks",
  "cli/deploy",
  "http/gateway",
  "http/leaving",
  "ring/change",
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
