/**
 * The answers to a key's checks, by their `requestId`. A check that is repeated within a minute
 * gets the first answer again, and counts nothing.
 *
 * A key has one row, which moves with the key and expires as counts do. If a row is full, it
 * forgets its oldest answers early.
 *
 * Only the deployed Worker's owners do this: no other caller sends a `requestId`.
 */
import type { State } from "../limit/algorithm.ts";
import { OWNER_REASONS, type Verdict, verdictOf } from "../limit/decision.ts";
import type { Check } from "./check.ts";
import type { Counters } from "./counters.ts";
import { ANSWERS } from "./table-name.ts";

const KNOWN_MS = 60_000;
/** The most numbers in a row, as many as in the longest sliding log: about 2,000 answers. */
const MAX_NUMBERS = 20_000;

/** Stands for no `taken`, in the answer to a check that is not `atMost`. */
const NONE = -1;
/** Numbers before an answer's verdicts: `requestId`, when it is forgotten, how many verdicts. */
const HEAD_NUMBERS = 3;
const VERDICT_NUMBERS = 6;

/** Checks, or returns the first answer if a check with this `requestId` was already answered. */
export function checkOnce(counters: Counters, check: Check, nowMs: number): Verdict[] {
  const { key, requestId = Number.NaN } = check;
  const { tables } = counters;
  const known = answerIn(tables.get(ANSWERS, key), requestId, nowMs);
  if (known) return known;
  const verdicts = counters.check(check, nowMs);
  // Read again: the check may have swept the row.
  const state = withAnswer(tables.get(ANSWERS, key), requestId, verdicts, nowMs);
  tables.setWithin(ANSWERS, key, state, nowMs);
  return verdicts;
}

/** Returns the answer to the check with this `requestId`; undefined if it is not known. */
function answerIn(
  state: State | undefined,
  requestId: number,
  nowMs: number,
): Verdict[] | undefined {
  for (let at = 1; state && at < state.length; at = endOf(state, at)) {
    if (state[at] !== requestId || (state[at + 1] as number) <= nowMs) continue;
    const count = state[at + 2] as number;
    return Array.from({ length: count }, (_, index) =>
      verdictAt(state, at + HEAD_NUMBERS + index * VERDICT_NUMBERS),
    );
  }
  return undefined;
}

/** Returns the state with one more answer, without those that are too old or have no room. */
function withAnswer(
  state: State | undefined,
  requestId: number,
  verdicts: readonly Verdict[],
  nowMs: number,
): State {
  const untilMs = nowMs + KNOWN_MS;
  const answer = [requestId, untilMs, verdicts.length];
  for (const { remaining, resetMs, retryAfterMs, delayMs, reason, taken = NONE } of verdicts) {
    answer.push(OWNER_REASONS.indexOf(reason), remaining, resetMs, retryAfterMs, delayMs, taken);
  }
  if (!state) return [untilMs, ...answer];
  // The oldest come first.
  let from = 1;
  const isSpare = () =>
    (state[from + 1] as number) <= nowMs || state.length - from + answer.length > MAX_NUMBERS;
  while (from < state.length && isSpare()) from = endOf(state, from);
  return [untilMs, ...state.slice(from), ...answer];
}

function endOf(state: State, at: number): number {
  return at + HEAD_NUMBERS + (state[at + 2] as number) * VERDICT_NUMBERS;
}

function verdictAt(state: State, at: number): Verdict {
  const [reason = 0, remaining = 0, resetMs = 0, retryAfterMs = 0, delayMs = 0, taken = NONE] =
    state.slice(at, at + VERDICT_NUMBERS);
  const verdict = verdictOf(reason, remaining, resetMs, retryAfterMs, delayMs);
  return taken === NONE ? verdict : { ...verdict, taken };
}
