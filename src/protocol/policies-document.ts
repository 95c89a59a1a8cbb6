/**
 * Policies that an operator changes while the Worker runs, as they are stored and sent: a document
 * with a version. Only the deployed Worker has them.
 *
 * A document is whole: it replaces all policies. Each side checks it on arrival.
 */
import * as v from "valibot";
import { InvalidError, parse } from "../limit/misuse.ts";
import { oneOf, wholeNumber } from "../limit/schemas.ts";

/** The most bytes of a body that changes the policies: over 1,000 of them. */
export const MAX_DOCUMENT_BYTES = 524_288;
/** Documents that are kept, the one in force included. */
export const MAX_DOCUMENTS = 50;
/** More changes than operators make. */
const MAX_VERSION = 2 ** 32;

/** The version as long as nobody has changed the policies. No document has it. */
export const DEPLOYED_VERSION = 0;

export const policiesVersionSchema = wholeNumber(DEPLOYED_VERSION, MAX_VERSION);

const documentSchema = v.object({
  /** Counts the changes, from 1. */
  version: policiesVersionSchema,
  /** Whether these policies are in force, or those of the deployment. */
  source: oneOf(["live", "deployment"]),
  /** The list as JSON. For a deployment: its policies when it came back into force. */
  policies: v.string(),
  /** Who made the change, by the call's own word; null if the call does not say. */
  by: v.nullable(v.string()),
  /** When the change was made, ms since the epoch, by the membership object's clock. */
  atMs: wholeNumber(0, Number.MAX_SAFE_INTEGER),
});

export type PoliciesDocument = v.InferOutput<typeof documentSchema>;

/** A change that an operator asks for. */
export interface PoliciesChange extends Pick<PoliciesDocument, "source" | "policies" | "by"> {
  /** The version that the change must replace; undefined for any. */
  ifVersion: number | undefined;
}

/** @throws {InvalidError} if it can't be a document */
export function readDocument(value: unknown): PoliciesDocument {
  return parse(documentSchema, value, "policies", InvalidError);
}

/** Returns the version of the policies that a message names; `DEPLOYED_VERSION` if none. */
export function liveVersionIn(message: { live?: unknown }): number {
  const { live = DEPLOYED_VERSION } = message;
  return v.is(policiesVersionSchema, live) ? live : DEPLOYED_VERSION;
}
