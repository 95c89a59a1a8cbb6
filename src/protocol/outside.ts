/**
 * What entry points give outside a Worker, as in Node, in place of objects. A module that exports
 * the classes can be loaded there, but no object can be made.
 */

/** @param what what only a Worker does, as the beginning of a sentence */
export function workerOnly(what: string, how = "run wrangler dev"): Error {
  return new Error(`${what} in a Cloudflare Worker only: ${how}`);
}

/** Stands for a Durable Object class, or for an entrypoint. */
export class ObjectOutside {
  constructor() {
    const how = "run wrangler dev, or in a test installTestKit() of turnpike/testing";
    throw workerOnly("turnpike's objects live", how);
  }
}
