/**
 * What `turnpike/events` gives outside a Worker, as in Node. Events are checked there, but counted
 * nowhere, so there is nothing to read.
 */
import { parse } from "../limit/misuse.ts";
import { ObjectOutside, workerOnly } from "../protocol/outside.ts";
import { eventSchema } from "./tuple.ts";

export class Events extends ObjectOutside {}

const read = async (): Promise<never> => {
  throw workerOnly("turnpike/events reads");
};

export function events() {
  return {
    count: (name: string, dimensions = {}, amount = 1): void => {
      parse(eventSchema, { name, dimensions, amount });
    },
    top: read,
    series: read,
    distinct: read,
  };
}
