/**
 * Finds a response in the store: under its URL, and if `Vary` names fields, under their values too.
 *
 * `find` only looks. `lookUp` asks the handler if there is nothing, once for all who wait.
 */

import type { CacheStore, Found } from "../value.ts";
import type { Exchange } from "./exchange.ts";
import type { Aged } from "./kept-response.ts";
import { decode, type Passing, type StoredResponse } from "./stored.ts";
import { chosenKey } from "./vary.ts";

/** A key, and the names of the request's fields whose values the key includes. */
export interface Place {
  key: string;
  names: readonly string[];
}

/** What is at a place. */
export interface Entry {
  place: Place;
  found: Found;
  stored: StoredResponse | Passing;
}

/** How often responses of one URL may name more fields in `Vary`. */
const MAX_CHOICES = 4;

/** Returns the response of an entry, with its age; undefined if it has none. */
export function agedOf({ stored, found }: Entry): Aged | undefined {
  return stored.kind === "response" ? { response: stored, residentMs: found.ageMs } : undefined;
}

export function find(
  store: CacheStore,
  start: Place,
  request: Headers,
): Promise<Entry | undefined> {
  return walk(start, request, ({ key }) => store.find(key));
}

/** @param known what is at the first place already; something newer is wanted */
export function lookUp(
  store: CacheStore,
  start: Place,
  request: Headers,
  exchange: Exchange,
  known?: Entry,
): Promise<Entry | undefined> {
  const aged = known && agedOf(known);
  return walk(start, request, ({ key, names }) => {
    const newerThan = key === start.key ? known?.found.version : undefined;
    return store.lookUp(key, () => exchange.computed(names, aged), newerThan);
  });
}

async function walk(
  start: Place,
  request: Headers,
  at: (place: Place) => Promise<Found | undefined>,
): Promise<Entry | undefined> {
  let place = start;
  for (let choices = 0; choices <= MAX_CHOICES; choices++) {
    const found = await at(place);
    if (!found) return undefined;
    const stored = decode(found.value);
    if (stored.kind !== "choice") return { place, found, stored };
    const key = chosenKey(place.key, stored.id, stored.names, request);
    place = { key, names: [...place.names, ...stored.names] };
  }
  return undefined;
}
