/** The protocol broken on purpose, at the edges where it meets the world: each is to be caught. */
import { type Answer, decodeAnswer, decodeBatch, encodeAnswer } from "../../src/protocol/wire.ts";
import type { Variant } from "./world.ts";

export const VARIANTS: Record<string, Variant> = {
  "skips the release": {
    peer: (peer) => ({
      release: async (version, keys) => {
        const released = await peer.release(version, keys);
        return "moved" in released ? released : { ...released, what: { rows: [] } };
      },
      releaseSome: async (version, to, from) => {
        const released = await peer.releaseSome(version, to, from);
        return "moved" in released ? released : { ...released, what: { rows: [], next: null } };
      },
    }),
  },

  "forgets the version check": {
    owner: (owner) => {
      let version = 0;
      return {
        ...owner,
        adopt: async (record) => {
          await owner.adopt(record);
          version = Math.max(version, record.version);
        },
        // As if each caller had the owner's own ring.
        check: (batch) => owner.check({ ...batch, version: version || batch.version }),
      };
    },
  },

  "retries a check": {
    stub: (stub) => ({
      ...stub,
      check: (batch) => stub.check(batch).catch(() => stub.check(batch)),
    }),
  },

  "says that all is exact": {
    owner: (owner) => ({
      ...owner,
      check: async (wire) => {
        const { checks } = decodeBatch(wire);
        const answer = decodeAnswer(await owner.check(wire), checks) as Answer;
        return encodeAnswer({ ...answer, unsure: [] });
      },
    }),
  },

  "settles before all is taken over": {
    owner: (owner) => ({ ...owner, takeOver: async () => ({ isDone: true, silent: [] }) }),
  },
};
