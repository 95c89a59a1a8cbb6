/** The deployed Worker, with owners that count what they decide. */

import { decodeBatch, type WireBatch } from "../../src/protocol/wire.ts";
import { decodeAnswer } from "../../src/protocol/wire-answer.ts";
import worker, { RateLimiter as Owner } from "../../src/worker.ts";

export { Membership } from "../../src/worker.ts";

/** Objects and requests of a local workerd share their isolate. */
let denials = 0;

export class RateLimiter extends Owner {
  override async check(wire: WireBatch) {
    const answer = await super.check(wire);
    const decided = decodeAnswer(answer, decodeBatch(wire).checks)?.verdicts ?? [];
    denials += decided.filter((each) => each?.some(({ allowed }) => !allowed)).length;
    return answer;
  }
}

export default {
  fetch(request: Request, env: Env, context: ExecutionContext) {
    if (new URL(request.url).pathname === "/denials-by-owners") return Response.json(denials);
    return worker.fetch(request, env, context);
  },
};
