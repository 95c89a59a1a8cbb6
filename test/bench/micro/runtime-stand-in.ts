/**
 * Stands in, under Node, for what the middleware takes from the Workers runtime: a module and a
 * global. To be imported before the middleware is.
 */
import { registerHooks } from "node:module";
import { scheduler } from "node:timers/promises";

const MODULE = `data:text/javascript,
  export const env = {};
  export const exports = {};
  export const waitUntil = () => {};
  export class DurableObject {}`;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers"
      ? { url: MODULE, shortCircuit: true }
      : next(specifier, context),
});
Object.assign(globalThis, { scheduler });
