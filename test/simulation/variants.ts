/** The protocol broken on purpose, at its edges. The simulation must catch each variant. */
import { ANSWERS } from "../../src/counters/table-name.ts";
import { decodeSections } from "../../src/owner/checkpoint/format.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import type { TableRows } from "../../src/protocol/rpc.ts";
import { decodeBatch } from "../../src/protocol/wire.ts";
import { type Answer, decodeAnswer, encodeAnswer } from "../../src/protocol/wire-answer.ts";
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

  "counts a check each time it is sent": {
    owner: (owner) => ({
      ...owner,
      check: ({ requestIds: _, ...batch }) => owner.check(batch),
    }),
  },

  "leaves answers behind in a ring change": { peer: withoutTables((name) => name === ANSWERS) },

  "leaves holds behind in a ring change": {
    peer: withoutTables((name) => name.startsWith("holds")),
  },

  "leaves overrides behind in a ring change": {
    peer: withoutTables((name) => name.startsWith("overrides")),
  },

  "acknowledges an override before it is on disk": {
    storage: (storage) => {
      const put = storage.put.bind(storage);
      storage.put = async (entries, value, options) => {
        const isLater = typeof value === "object" && value !== null && "allowUnconfirmed" in value;
        if (typeof entries === "string" || isLater) return put(entries, value, options);
        const kept = Object.entries(entries).filter(([, each]) => {
          const { sections = [] } = decodeSections(each) ?? {};
          return !sections.some(({ table }) => table.startsWith("overrides"));
        });
        if (kept.length > 0) await put(Object.fromEntries(kept));
      };
    },
  },

  "never ends a hold": {
    owner: (owner) => ({
      ...owner,
      check: ({ holds, ...batch }) => {
        if (!holds) return owner.check(batch);
        return owner.check({
          ...batch,
          holds: holds.map((each, at) => (at % 3 === 1 ? each * 1e6 : each)),
        });
      },
    }),
  },

  "says that all is exact": {
    owner: (owner) => ({
      ...owner,
      check: async (wire) => {
        const { checks } = decodeBatch(wire);
        const answer = decodeAnswer(await owner.check(wire), checks) as Answer;
        return encodeAnswer({ ...answer, inexact: [] });
      },
    }),
  },

  "settles before all is taken over": {
    owner: (owner) => ({ ...owner, takeOver: async () => ({ isDone: true, silent: [] }) }),
  },

  "lets go of a request whose client has left": { keepsAlive: false },

  "begins no epoch with a block": {
    owner: (owner) => ({
      ...owner,
      check: async (wire) => {
        const answer = decodeAnswer(await owner.check(wire), decodeBatch(wire).checks) as Answer;
        return encodeAnswer({ ...answer, epoch: 1 });
      },
    }),
  },

  "says nothing of live policies to callers that have others": {
    owner: (owner) => ({
      ...owner,
      check: async (wire) => {
        const answer = await owner.check(wire);
        if (answer instanceof Float64Array) return answer;
        const { live: _, ...rest } = answer;
        return rest;
      },
    }),
  },

  "sends no live policies to owners": {
    owner: (owner) => ({
      ...owner,
      adopt: ({ live: _, ...record }: RingRecord & { live?: number }) => owner.adopt(record),
    }),
  },

  "counts anew when a limit changes": {
    owner: (owner) => {
      const limits = new Map<string, number>();
      return {
        ...owner,
        check: async (wire) => {
          const isChanged = wire.policies.some(({ name, limit }) => {
            const known = limits.get(name) ?? limit;
            limits.set(name, limit);
            return known !== limit && !name.endsWith("bucket");
          });
          if (isChanged) await owner.reset(wire);
          return owner.check(wire);
        },
      };
    },
  },

  "makes a client wait for ages when a limit has changed": {
    owner: (owner) => ({
      ...owner,
      check: async (wire) => {
        const { checks } = decodeBatch(wire);
        const answer = decodeAnswer(await owner.check(wire), checks) as Answer;
        for (const [at, { policies }] of checks.entries()) {
          const [verdict] = answer.verdicts[at] ?? [];
          if (policies[0]?.name.startsWith("plan") && policies[0].limit !== 4 && verdict) {
            verdict.resetMs *= 1_000;
          }
        }
        return encodeAnswer(answer);
      },
    }),
  },
};

/** Makes owners release nothing from some tables. */
function withoutTables(isLeft: (table: string) => boolean): NonNullable<Variant["peer"]> {
  const isKept = ({ table }: TableRows) => !isLeft(table);
  return (peer) => ({
    release: async (version, keys) => {
      const released = await peer.release(version, keys);
      if ("moved" in released) return released;
      return { ...released, what: { rows: released.what.rows.filter(isKept) } };
    },
    releaseSome: async (version, to, from) => {
      const released = await peer.releaseSome(version, to, from);
      if ("moved" in released) return released;
      const { rows, next } = released.what;
      return { ...released, what: { rows: rows.filter(isKept), next } };
    },
  });
}
