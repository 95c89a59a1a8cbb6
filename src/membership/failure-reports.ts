/**
 * Which owners are reported as out of reach, and by how many isolates.
 *
 * One isolate may be cut off from an owner that answers all others, so several must agree.
 */

/** How many isolates must report an owner before it counts as out of reach. */
export const ENOUGH_REPORTERS = 3;
/** How long a report counts. */
export const REPORT_FRESH_MS = 30_000;
/** The most isolates that are remembered for an owner. */
const MAX_REPORTERS = 16;

export class FailureReports {
  /** For each owner, when each isolate reported it last. */
  readonly #reports = new Map<string, Map<string, number>>();

  /** @returns whether enough isolates have reported the owner by now */
  add(owner: string, reporter: string, nowMs: number): boolean {
    const reporters = this.#reports.get(owner) ?? new Map<string, number>();
    this.#reports.set(owner, reporters);
    for (const [other, atMs] of reporters) {
      if (nowMs - atMs > REPORT_FRESH_MS) reporters.delete(other);
    }
    if (reporters.size < MAX_REPORTERS) reporters.set(reporter, nowMs);
    return reporters.size >= ENOUGH_REPORTERS;
  }

  forget(owner: string): void {
    this.#reports.delete(owner);
  }
}
