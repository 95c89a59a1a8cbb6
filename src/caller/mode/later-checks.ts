/** Splits the questions of a request into those asked now and those counted later. */
import { isAllowed, type Question, type Reply } from "../question.ts";
import type { Assessment, Background } from "./background.ts";

/**
 * All or none: a known denial ends it before anything is asked. Any other denial counts nothing.
 */
export class LaterChecks {
  readonly asked: Question[] = [];
  readonly #background: Background;
  readonly #assessments: Assessment[] = [];
  readonly #denials: Reply[] = [];
  /** Which assessment learns from a reply: from its decisions from index `from` on. */
  readonly #learning: { asked: Question; assessment: Assessment; from: number }[] = [];

  constructor(background: Background, questions: readonly Question[]) {
    this.#background = background;
    for (const question of questions) {
      if (question.policies[0]?.mode !== "after") {
        this.asked.push(question);
        continue;
      }
      const assessment = background.assess(question);
      this.#assessments.push(assessment);
      if (assessment.denial) this.#denials.push(assessment.denial);
    }
    // A known denial decides, so no owner is asked.
    if (this.#denials.length > 0) this.asked.length = 0;
    else for (const assessment of this.#assessments) if (!assessment.mayPass) this.#ask(assessment);
  }

  /** Returns the replies to the questions that are counted later, given those to what was asked. */
  complete(replies: readonly Reply[]): Reply[] {
    for (const { asked, assessment, from } of this.#learning) {
      const reply = replies.find(({ question }) => question === asked);
      if (reply) this.#background.learn(assessment, reply.decisions.slice(from));
    }
    const completed = this.#others(replies.every(isAllowed));
    // If something was asked, the caller has told the observer of the request.
    if (this.asked.length === 0) this.#background.requested(completed);
    return completed;
  }

  #others(isAllowed: boolean): Reply[] {
    if (this.#denials.length > 0 || !isAllowed) return this.#denials;
    const passing = this.#assessments.filter(({ mayPass }) => mayPass);
    return passing.map((assessment) => this.#background.pass(assessment));
  }

  /** Asks in one question about all policies of a key, so that none of them is given back. */
  #ask(assessment: Assessment): void {
    const { question } = assessment.message;
    const isBeside = ({ key, policies }: Question) =>
      policies[0]?.scope === question.policies[0]?.scope &&
      key.join("\0") === question.key.join("\0");
    const at = this.asked.findIndex(isBeside);
    const beside = this.asked[at];
    const from = beside?.policies.length ?? 0;
    const asked = beside
      ? { ...beside, policies: [...beside.policies, ...question.policies] }
      : question;
    this.asked.splice(at < 0 ? this.asked.length : at, 1, asked);
    this.#learning.push({ asked, assessment, from });
  }
}
