/**
 * What `turnpike/cache` gives outside a Worker, as in Node. Nothing is kept there: each handler
 * runs, and each value is computed. Options are checked as in a Worker.
 */
import { Hono } from "hono";
import { createMiddleware } from "hono/factory";
import { ObjectOutside, workerOnly } from "../protocol/outside.ts";
import { ComputedValues } from "./computed-values.ts";
import { type CachedOptions, parseOptions } from "./http/options.ts";

export class Cache extends ObjectOutside {}

export function cached(options: CachedOptions = {}) {
  parseOptions(options);
  return createMiddleware(async function cached(_, next) {
    await next();
  });
}

const values = new ComputedValues({
  lookUp: async (_, compute) => {
    await compute();
    return undefined;
  },
});

const purge = async (_: string): Promise<void> => {
  throw workerOnly("turnpike/cache purges");
};

export function cache() {
  return {
    getOrCompute: values.getOrCompute.bind(values) as ComputedValues["getOrCompute"],
    purge,
    purgeUrl: purge,
    purgeTag: purge,
  };
}

/** As in a Worker without the variable `TOKEN`: an API without calls. */
export function cacheApi() {
  return new Hono();
}
