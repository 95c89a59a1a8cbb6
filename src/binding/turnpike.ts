/**
 * The entrypoint that other Workers bind to, as `[[services]]` of `wrangler.toml`. Each binding
 * names its policy in `props`; Workers that name the same policy share its counters.
 *
 * `limit` is the interface of Cloudflare's rate limiting binding, so that libraries written for
 * that one work. The other methods are those of `limiter()`, and answer with whole decisions.
 *
 * A key may be empty or long: a library that calls `limit` would answer an error with 500. A check
 * has no request that tells its region, so it counts in the home region unless it names another.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import * as v from "valibot";
import { reserve, type SettledDecision, settle, ttlSchema } from "../caller/holds.ts";
import { isolateCaller } from "../caller/isolate.ts";
import {
  blockSchema,
  type CheckOptions,
  checkOptionsSchema,
  overrideDurationSchema,
  questionOf,
  type ReserveOptions,
} from "../caller/limiter.ts";
import { decided, type ExplainedKey, type Question } from "../caller/question.ts";
import type { Decision } from "../limit/decision.ts";
import { fieldPath, parse } from "../limit/misuse.ts";
import { readOverrideLimit } from "../limit/override.ts";
import type { Policy } from "../limit/policy.ts";
import { isTable, listOf, textSchema } from "../limit/schemas.ts";
import { type LimitOptions, type LimitOutcome, outcomeOf, readLimit } from "./limit.ts";
import { policyNamed } from "./policies.ts";

/** What a binding says in `props`. */
export interface TurnpikeProps {
  /** Name of the policy that its calls count by, unless a call names another. */
  policy?: string;
}

/** What a call may say beside its key. */
export interface KeyOptions extends CheckOptions {
  /** Name of the policy. Default the one of `props`. */
  policy?: string;
}

/** A key with its options, as one value. */
export interface KeyCheck extends KeyOptions {
  /** Any text. Compared as it is. */
  key: string;
}

const MAX_CHECKS = 1_000;

const checksRule = `must be a list of 1 to ${MAX_CHECKS} checks`;
const checksSchema = listOf(v.unknown(), MAX_CHECKS, checksRule);

const checkSchema = v.strictObject(
  { key: textSchema, policy: v.optional(textSchema), ...checkOptionsSchema.entries },
  "must be an object",
);
const reservationSchema = v.strictObject(
  { ...checkSchema.entries, ttl: ttlSchema },
  "must be an object",
);

/** All methods reject with a `MisuseError` that names the field, the rule and the value. */
export class Turnpike extends WorkerEntrypoint<unknown, TurnpikeProps> {
  /** Decides as Cloudflare's binding does; `limit.ts` says where that differs from `check`. */
  async limit(options: LimitOptions): Promise<LimitOutcome> {
    const { key, delta } = readLimit(options);
    const policy = this.#policy(undefined, "");
    const cost = delta ?? policy.cost;
    const question = questionOf(policy, [key], { cost, atMost: cost > 1 });
    return outcomeOf(decided(await isolateCaller().check([question])), Date.now());
  }

  /**
   * Spends the cost if the check passes. If the owner does not answer, `onFailure` decides.
   */
  async check(key: string | KeyCheck, options?: KeyOptions): Promise<Decision> {
    return decided(await isolateCaller().check(await this.#askPossible(key, options)));
  }

  /**
   * Answers up to 1,000 checks, in their order, each by itself. A mistake in one of them leaves all
   * counters as they are.
   */
  async checkMany(checks: readonly (string | KeyCheck)[]): Promise<Decision[]> {
    const questions = parse(checksSchema, checks, "checks").map((check, at) =>
      this.#ask(check, undefined, `checks[${at}]`),
    );
    await Promise.all(
      questions.map((question, at) =>
        isolateCaller().costly.requirePossible([question], `checks[${at}].cost`),
      ),
    );
    const each = await isolateCaller().checkAllOrNone(questions.map((question) => [question]));
    return each.map((replies) => decided(replies));
  }

  /** Answers as `check` would, but spends nothing. */
  async peek(key: string | KeyCheck, options?: KeyOptions): Promise<Decision> {
    return decided(await isolateCaller().peek(await this.#askPossible(key, options)));
  }

  /** Gives the cost back, never more than is spent, and then answers as `peek`. */
  async refund(key: string | KeyCheck, options?: KeyOptions): Promise<Decision> {
    return decided(await isolateCaller().refund([{ question: this.#ask(key, options) }]));
  }

  /**
   * Spends an amount, if that passes, until the actual cost is known. `hold` is the name that
   * `settle` and `release` take; absent after a denial.
   */
  async reserve(
    key: string | KeyCheck,
    amount: number,
    options?: KeyOptions & ReserveOptions,
  ): Promise<Decision & { hold?: string | undefined }> {
    const { ttl, ...check } = parse(reservationSchema, joined(key, options));
    const { decision, hold } = await reserve(isolateCaller(), [this.#ask(check)], amount, ttl);
    return { ...decision, hold };
  }

  /** Replaces what a hold has spent by its actual cost; see `Limiter.settle`. */
  async settle(
    key: string | KeyCheck,
    hold: string,
    actual: number,
    options?: KeyOptions,
  ): Promise<SettledDecision> {
    return settle(isolateCaller(), [this.#ask(key, options)], hold, actual);
  }

  /** Gives back what a hold has spent. */
  release(key: string | KeyCheck, hold: string, options?: KeyOptions): Promise<SettledDecision> {
    return this.settle(key, hold, 0, options);
  }

  /** Forgets what the key has spent, in all regions. Rejects if an owner does not answer. */
  async reset(key: string | KeyCheck, options?: KeyOptions): Promise<void> {
    return isolateCaller().reset([this.#ask(key, options)]);
  }

  /** Says what the key's owner has stored for it. Rejects if that owner does not answer. */
  async explain(key: string | KeyCheck, options?: KeyOptions): Promise<ExplainedKey> {
    const [explained] = await isolateCaller().explain([this.#ask(key, options)]);
    return explained as ExplainedKey;
  }

  /** Denies the key under every policy, in all regions, for a duration such as `"10m"`. */
  async block(key: string, duration: string): Promise<void> {
    return isolateCaller().block(
      [parse(textSchema, key, "key")],
      parse(blockSchema, duration, "duration"),
    );
  }

  /** Ends all blocks of the key, in all regions. Rejects if an owner does not answer. */
  async unblock(key: string): Promise<void> {
    return isolateCaller().unblock([parse(textSchema, key, "key")]);
  }

  /**
   * Gives the key another limit, or `"unlimited"`, in all regions. `duration` is a text such as
   * `"30d"`, default 366 days.
   */
  async override(
    key: string | KeyCheck,
    limit: number | "unlimited",
    duration?: string,
    options?: KeyOptions,
  ): Promise<void> {
    const asked = this.#ask(key, options);
    const units = readOverrideLimit(asked.policies[0] as Policy, limit);
    return isolateCaller().override(
      asked,
      units,
      parse(overrideDurationSchema, duration, "duration"),
    );
  }

  /** Gives the key the policy's own limit again, in all regions. */
  async clearOverride(key: string | KeyCheck, options?: KeyOptions): Promise<void> {
    return isolateCaller().override(this.#ask(key, options), null);
  }

  #ask(check: unknown, options?: KeyOptions, at = ""): Question {
    const { key, policy, ...rest } = parse(checkSchema, joined(check, options), at);
    return questionOf(this.#policy(policy, at), [key], rest);
  }

  async #askPossible(key: string | KeyCheck, options?: KeyOptions): Promise<[Question]> {
    const question = this.#ask(key, options);
    await isolateCaller().costly.requirePossible([question]);
    return [question];
  }

  #policy(name: string | undefined, at: string) {
    if (name !== undefined) return policyNamed(name, this.env as object, fieldPath(at, "policy"));
    return policyNamed(this.ctx.props?.policy, this.env as object, "props.policy");
  }
}

/** Returns a check with its options as one value; the options alone if they are no object. */
function joined(check: unknown, options: unknown = {}): unknown {
  const given = typeof check === "string" ? { key: check } : (check as object);
  return isTable(options) ? { ...options, ...given } : options;
}
