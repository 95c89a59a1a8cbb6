/** Splits the questions of a request into those asked now and those counted later. */
import { isAllowed, type Question, type Reply } from "../question.ts";
import type { Background, Look } from "./background.ts";

/**
 * All or none: a known denial ends it before anything is asked. Any other denial counts nothing.
 */
export class LaterChecks {
  readonly asked: Question[] = [];
  readonly #background: Background;
  readonly #looks: Look[] = [];
  readonly #denials: Reply[] = [];
  /** Which look learns from the reply to a question: from its decisions from index `from` on. */
  readonly #heard: { asked: Question; look: Look; from: number }[] = [];

  constructor(background: Background, questions: readonly Question[]) {
    this.#background = background;
    for (const question of questions) {
      if (question.policies[0]?.mode !== "after") {
        this.asked.push(question);
        continue;
      }
      const look = background.look(question);
      this.#looks.push(look);
      if (look.denial) this.#denials.push(look.denial);
    }
    // A known denial decides, so no owner is asked.
    if (this.#denials.length > 0) this.asked.length = 0;
    else for (const look of this.#looks) if (!look.mayPass) this.#ask(look);
  }

  /** Returns the replies to the questions that are counted later, given those to what was asked. */
  complete(replies: readonly Reply[]): Reply[] {
    for (const { asked, look, from } of this.#heard) {
      const reply = replies.find(({ question }) => question === asked);
      if (reply) this.#background.hear(look, reply.decisions.slice(from));
    }
    const completed = this.#others(replies.every(isAllowed));
    // If something was asked, the caller has told the observer of the request.
    if (this.asked.length === 0) this.#background.requested(completed);
    return completed;
  }

  #others(isAllowed: boolean): Reply[] {
    if (this.#denials.length > 0 || !isAllowed) return this.#denials;
    const passing = this.#looks.filter(({ mayPass }) => mayPass);
    return passing.map((look) => this.#background.pass(look));
  }

  /** Asks in one question about all policies of a key, so that none of them is given back. */
  #ask(look: Look): void {
    const { question } = look.message;
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
    this.#heard.push({ asked, look, from });
  }
}
