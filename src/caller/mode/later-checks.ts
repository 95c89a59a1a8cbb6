/** Splits the questions of a request into those that are asked, and those that are counted later. */
import { isAllowed, type Question, type Reply } from "../question.ts";
import type { Background, Look } from "./background.ts";

/** All or none: nothing is asked after a known denial, and nothing counted later after another. */
export class LaterChecks {
  readonly asked: Question[] = [];
  readonly #looks: Look[] = [];
  /** By the question that is asked: what to tell of its reply, from which policy on. */
  readonly #heard = new Map<Question, { look: Look; from: number }>();

  constructor(background: Background, questions: readonly Question[]) {
    const open: [Question, Look][] = [];
    for (const question of questions) {
      if (question.policies[0]?.mode !== "after") {
        this.asked.push(question);
        continue;
      }
      const look = background.look(question);
      this.#looks.push(look);
      if (!look.denial && !look.pass) open.push([question, look]);
    }
    // A known denial decides, so nobody is asked.
    if (this.#looks.some(({ denial }) => denial)) this.asked.length = 0;
    else for (const each of open) this.#ask(...each);
  }

  /** Returns the replies to the others, given those to what was asked. */
  complete(replies: readonly Reply[]): Reply[] {
    for (const { question, decisions } of replies) {
      const heard = this.#heard.get(question);
      heard?.look.hear(decisions.slice(heard.from));
    }
    const denials = this.#looks.flatMap(({ denial }) => denial ?? []);
    if (denials.length > 0 || !replies.every(isAllowed)) return denials;
    return this.#looks.flatMap(({ pass }) => pass?.() ?? []);
  }

  /** Asks in one question about all policies of a key, so that none of them is given back. */
  #ask(question: Question, look: Look): void {
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
    this.#heard.set(asked, { look, from });
  }
}
