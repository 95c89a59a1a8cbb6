import "./runs.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isOwnerName, readRingRecord, regionOfOwner } from "../../src/protocol/ring-record.ts";
import { REGIONS } from "../../src/ring/region.ts";

const region = fc.constantFrom(...REGIONS);
const number = fc.oneof(
  fc.nat({ max: 12_000 }),
  fc.constantFrom("", "01", "-1", "1e3", "0x1", "١"),
);
const name = fc.oneof(
  fc.tuple(region, number).map(([place, at]) => `${place}/${at}`),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom("weur/1\n", " weur/1", "weur/1/", "WEUR/1", "weur//1", "__proto__/1"),
);
const owners = fc.array(name, { maxLength: 5 });
const version = fc.oneof(fc.integer(), fc.double(), fc.constant("1"), fc.nat({ max: 9 }));
const record = fc.record(
  {
    version,
    owners,
    previous: fc.record({ version, owners }),
    lost: fc.array(fc.record({ owner: name, owners, atMs: version }), { maxLength: 2 }),
    more: fc.anything(),
  },
  { requiredKeys: [] },
);

describe("whatever is said to be a ring", () => {
  it("has names of a region and a number, and no others", () => {
    fc.assert(
      fc.property(name, (text) => {
        const [place = "", at = ""] = text.split("/");
        const isName =
          REGIONS.some((each) => each === place) &&
          /^[0-9]+$/.test(at) &&
          Number(at) < 10_000 &&
          text === `${place}/${Number(at)}`;
        expect(isOwnerName(text)).toBe(isName);
      }),
    );
  });

  it("is one of its region, or refused with the field's name", () => {
    fc.assert(
      fc.property(region, fc.oneof(record, fc.anything()), (place, value) => {
        try {
          const read = readRingRecord(place, value);
          expect(Number.isSafeInteger(read.version) && read.version >= 1).toBe(true);
          expect(read.owners.length).toBeGreaterThan(0);
          expect(new Set(read.owners).size).toBe(read.owners.length);
          const all = [read, read.previous, ...read.lost].flatMap((ring) => ring?.owners ?? []);
          for (const each of all) {
            expect([regionOfOwner(each), isOwnerName(each)]).toEqual([place, true]);
          }
        } catch (error) {
          expect((error as Error).name).toBe("InvalidError");
          expect((error as Error).message).toMatch(/^ring/);
        }
      }),
    );
  });
});
