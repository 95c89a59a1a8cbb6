/** An owner in another region, where nothing is counted. Resets and blocks go to all regions. */

import { Counters } from "../../src/counters/counters.ts";
import type { CounterStub } from "../../src/protocol/rpc.ts";
import { decodeBatch } from "../../src/protocol/wire.ts";
import { encodeAnswer } from "../../src/protocol/wire-answer.ts";

export function elsewhere(): CounterStub {
  const nobody = async (): Promise<never> => {
    throw new Error("asked in another region");
  };
  return {
    check: nobody,
    peek: nobody,
    refund: nobody,
    explain: nobody,
    block: async () => ({ reply: undefined }),
    override: async () => ({ reply: undefined }),
    unblock: async () => ({ reply: undefined }),
    reset: async (wire) => {
      const { checks } = decodeBatch(wire);
      const none = new Counters();
      return encodeAnswer({
        atMs: 0,
        epoch: 0,
        verdicts: checks.map((check) => none.peek(check, 0)),
      });
    },
  };
}
