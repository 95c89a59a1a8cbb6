/** Asks a real object as a caller does, in the form that crosses the RPC. */

import type { Refund } from "../../src/counters/check.ts";
import type { RateLimiter } from "../../src/index.ts";
import { encodeBatch } from "../../src/protocol/wire.ts";
import { type Answer, decodeAnswer } from "../../src/protocol/wire-answer.ts";

export async function askObject(
  owner: DurableObjectStub<RateLimiter>,
  verb: "check" | "peek" | "refund" | "reset",
  checks: Refund[],
): Promise<Answer> {
  const answer = decodeAnswer(await owner[verb](encodeBatch({ version: 0, checks })), checks);
  if (!answer) throw new TypeError("the object gave no answer to this batch");
  return answer;
}
