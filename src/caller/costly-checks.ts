/**
 * Checks that cost more than a policy lets pass at once.
 *
 * Such a cost is a mistake, unless an override raises the key's limit, which only its owner knows.
 * So the owner is asked for that limit before the check is made. It is asked about the least cost
 * that is too much: a denial of that cost covers all higher ones, so a flood of them makes almost
 * no calls.
 */
import { withLimit } from "../counters/overrides.ts";
import { type Policy, requireFits } from "../limit/policy.ts";
import { MAX_UNITS } from "../limit/policy-schema.ts";
import type { Runtime } from "../runtime.ts";
import type { DenialCache } from "./denial-cache.ts";
import type { Message } from "./message.ts";
import type { Question, Reply } from "./question.ts";

export interface CostlyChecksOptions {
  runtime: Runtime;
  denials: DenialCache;
  route: (question: Question) => Message;
  peek: (message: Message) => Promise<Reply[]>;
}

export class CostlyChecks {
  readonly #options: CostlyChecksOptions;

  constructor(options: CostlyChecksOptions) {
    this.#options = options;
  }

  /**
   * Makes sure that the questions cost what could pass. If an owner does not answer, its question
   * counts as possible, and the check follows `onFailure`.
   *
   * @param field names the cost in the error
   * @throws {MisuseError} if one costs more than could ever pass
   */
  async requirePossible(questions: readonly Question[], field = "cost"): Promise<void> {
    const costly = questions.flatMap((question) =>
      question.policies.filter(isCostly).map((policy) => ({ question, policy })),
    );
    for (const { question, policy } of costly) {
      const limit = await this.#limitOf(question, policy);
      // The limit of an unlimited key is `MAX_UNITS`.
      if (limit < MAX_UNITS)
        requireFits(policy.cost, { ...policy, ...withLimit(policy, limit) }, field);
    }
  }

  /** Returns the limit that is in force for the key; infinite if its owner does not answer. */
  async #limitOf({ key, region }: Question, policy: Policy): Promise<number> {
    const { runtime, denials, route, peek } = this.#options;
    const least = { key, region, policies: [{ ...policy, cost: policy.capacity + 1 }] };
    const message = route(least);
    const { generation } = message;
    const sentMs = runtime.now();
    const [known] = denials.find(message, sentMs, false) ?? [];
    if (known) return known.limit ?? policy.limit;
    const [{ decisions }] = (await peek(message)) as [Reply];
    const [{ limit, source }] = decisions as [Reply["decisions"][number]];
    if (source === "fallback") return Number.POSITIVE_INFINITY;
    // Not renewed by other answers of the owner: an override may end without a new epoch.
    const when = { sentMs, epoch: Number.NaN, receivedAtMs: runtime.now(), generation };
    denials.add(message, decisions, when);
    return limit;
  }
}

function isCostly({ cost, capacity, shadow, atMost }: Policy): boolean {
  return cost > capacity && capacity > 0 && !shadow && !atMost;
}
