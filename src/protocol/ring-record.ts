/**
 * What the membership object has decided about one region's owners, as it is stored and sent.
 *
 * Each side checks what arrives: a ring that can't be right is refused. Unknown fields are not
 * read, since a later version may add some.
 */
import * as v from "valibot";
import { MAX_WINDOW_MS } from "../limit/algorithm.ts";
import { InvalidError, MisuseError, parse } from "../limit/misuse.ts";
import { textLike, wholeNumber } from "../limit/schemas.ts";
import { REGIONS, type Region } from "../ring/region.ts";

/** The most owners a region has. */
export const MAX_OWNERS = 256;
/**
 * No loss matters longer than this, ms. What matters longest is a policy's block of 366 days, which
 * makes the next block longer for twice that time.
 */
export const MAX_LOSS_AGE_MS = 3 * MAX_WINDOW_MS;
/** More changes than a membership object could have made. */
const MAX_VERSION = 2 ** 32;

const NAME = new RegExp(`^(?:${REGIONS.join("|")})/(?:0|[1-9]\\d{0,3})$`);

export const ownerNameSchema = textLike(NAME, 'must be a region and a number, such as "weur/3"');

const ownersSchema = v.pipe(
  v.array(ownerNameSchema, "must be a list"),
  v.minLength(1, "must not be empty"),
  v.maxLength(MAX_OWNERS, `must be at most ${MAX_OWNERS}`),
  v.check((names) => new Set(names).size === names.length, "must be distinct"),
);

const lossSchema = v.object({
  owner: ownerNameSchema,
  /** Owners of the ring by which the lost owner held keys. */
  owners: ownersSchema,
  /** When the owner was given up, ms since the epoch by the membership object's clock. */
  atMs: wholeNumber(0, Number.MAX_SAFE_INTEGER),
});

const versionSchema = wholeNumber(1, MAX_VERSION);

const ringRecordSchema = v.object({
  /** Counts the changes; 1 is the ring that a region began with. */
  version: versionSchema,
  owners: ownersSchema,
  /** The ring that settled last, as long as its owners still hold counts of keys that moved. */
  previous: v.optional(v.object({ version: versionSchema, owners: ownersSchema })),
  /**
   * Owners that were given up with the counts they held, as long as these can matter; latest last.
   */
  lost: v.array(lossSchema, "must be a list"),
});

export type RingRecord = v.InferOutput<typeof ringRecordSchema>;

/** @throws {InvalidError} if it can't be one of this region */
export function readRingRecord(region: string, value: unknown): RingRecord {
  const record = parse(ringRecordSchema, value, "ring", InvalidError);
  const { owners, previous, lost } = record;
  const names = [owners, previous?.owners ?? [], ...lost.map((loss) => loss.owners)];
  for (const name of names.flat()) requireIn(region, name, "ring.owners", InvalidError);
  return record;
}

/** @throws {InvalidError} a `MisuseError` by default, if an owner is of another region */
export function requireIn(
  region: string,
  owner: string,
  at: string,
  Failure: typeof InvalidError = MisuseError,
): void {
  if (regionOfOwner(owner) !== region) throw new Failure(at, `must be in ${region}`, owner);
}

export function isOwnerName(name: string): boolean {
  return NAME.test(name);
}

/** Returns the region that an owner's name begins with. */
export function regionOfOwner(owner: string): string {
  return owner.split("/")[0] as string;
}

/** Returns the first owner names of a region, numbered from 0. A region begins with such a ring. */
export function ownerNames(region: Region, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${region}/${at}`);
}

/** Returns true if no membership object that made `known` could send `told` as something new. */
export function contradicts(known: RingRecord, told: RingRecord): boolean {
  if (known.version !== told.version) return known.version > told.version;
  return known.owners.join() !== told.owners.join();
}

/** Returns true if `next` says something that `known` does not. */
export function supersedes(next: RingRecord, known: RingRecord | undefined): boolean {
  if (!known || next.version > known.version) return true;
  // The same version, now settled: nothing is left to import.
  return next.version === known.version && known.previous !== undefined && !next.previous;
}
