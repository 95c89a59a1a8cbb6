/**
 * What a limited site let pass, key by key, against what it may.
 *
 * Admissions that say `exact` are held to the limit and to what a crash may lose; those that say
 * they are not, to the same limit once more, since one isolate stands in for the owner.
 */

export interface Admission {
  key: number;
  exact: boolean;
  atMs: number;
}

export interface Excess {
  /** Units above the limits, over all keys. */
  overAdmitted: number;
  /** The most that they may be. */
  bound: number;
  /** Keys with more than they may have. */
  keysAboveBound: number;
}

export class Ledger {
  /** Answers, refusals included. */
  requests = 0;
  /** Answers from 500 on. */
  serverErrors = 0;
  /** Requests whose connection broke, as it does when a server is killed. */
  brokenOff = 0;
  denied = 0;
  inexact = 0;
  /** When the last answer that was not exact came, ms since the epoch. */
  lastInexactMs = 0;
  readonly latenciesMs: number[] = [];
  readonly #admissions: Admission[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  admit(admission: Admission): void {
    this.#admissions.push(admission);
    if (admission.exact) return;
    this.inexact++;
    this.lastInexactMs = admission.atMs;
  }

  get admitted(): number {
    return this.#admissions.length;
  }

  /** When the first request since then passed, ms since the epoch. */
  admittedSince(atMs: number): number | undefined {
    return this.#admissions.find((each) => each.atMs >= atMs)?.atMs;
  }

  /** When the first exact answer since then came, ms since the epoch. */
  exactSince(atMs: number): number | undefined {
    return this.#admissions.find((each) => each.exact && each.atMs >= atMs)?.atMs;
  }

  /**
   * @param losses spans of time whose counts may be lost, because of a crash at the end of each
   */
  excess(losses: readonly { fromMs: number; toMs: number }[] = []): Excess {
    const excess = { overAdmitted: 0, bound: 0, keysAboveBound: 0 };
    for (const admissions of Map.groupBy(this.#admissions, ({ key }) => key).values()) {
      const inexact = admissions.filter(({ exact }) => !exact).length;
      const exact = admissions.length - inexact;
      const lost = losses.reduce((all, { fromMs, toMs }) => {
        const within = admissions.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
        return all + within.length;
      }, 0);
      const standIn = inexact > 0 ? this.#limit : 0;
      excess.overAdmitted += Math.max(0, admissions.length - this.#limit);
      excess.bound += lost + standIn;
      // After a crash an owner is inexact itself, and may have forgotten what was lost.
      if (exact > this.#limit + lost || inexact > standIn + lost) excess.keysAboveBound++;
    }
    return excess;
  }
}
