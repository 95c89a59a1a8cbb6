/**
 * The calls that count events and read them. A count reaches its owner about a second after the
 * answer, 202.
 */
import type { Context } from "hono";
import type { HonoBase } from "hono/hono-base";
import * as v from "valibot";
import { eventSchema, eventsSchema } from "../../events/tuple.ts";
import type { EventCounters, Range } from "../../events.ts";
import { MisuseError, parse } from "../../limit/misuse.ts";
import type { Region } from "../../ring/region.ts";
import { wrongMethod } from "../answer/problem.ts";
import { requireScope } from "./authorization.ts";
import { jsonBody } from "./json-body.ts";
import { queryOf } from "./query.ts";

export const manyEventsSchema = v.strictObject({ events: eventsSchema });

/** Returns the counters at a region's owners. For reading, any region will do. */
export type EventsOf = (region?: Region) => EventCounters;

/** Adds the call that counts, for tokens with `check`. */
export function countEvents(
  app: HonoBase,
  eventsOf: EventsOf,
  regionOf: (c: Context) => Region,
): void {
  app.use("/events", requireScope("check"));
  app.post("/events", async (c) => {
    const body = await jsonBody(c);
    const isMany = typeof body === "object" && body !== null && "events" in body;
    const events = isMany ? parse(manyEventsSchema, body).events : [parse(eventSchema, body)];
    const counters = eventsOf(regionOf(c));
    for (const { name, dimensions, amount } of events) counters.count(name, dimensions, amount);
    return c.body(null, 202);
  });
  app.all("/events", () => wrongMethod("POST"));
}

/** Adds the calls that read, for tokens with `admin`. The counters name a field that is missing. */
export function readEvents(app: HonoBase, eventsOf: EventsOf): void {
  app.get("/events/top", async (c) => {
    const { name, by, n, ...range } = queryOf(c);
    const dimensions = by?.split(",");
    const top = eventsOf().top(name as string, dimensions, n as number | undefined, range as Range);
    return c.json(await top);
  });
  app.get("/events/series", async (c) => {
    const { name, filter: _, ...range } = queryOf(c, "filter");
    const filter = filterIn(c.req.queries("filter"));
    return c.json({ points: await eventsOf().series(name as string, filter, range as Range) });
  });
  app.get("/events/distinct", async (c) => {
    const { name, dimension, ...range } = queryOf(c);
    return c.json(await eventsOf().distinct(name as string, dimension as string, range as Range));
  });
  for (const call of ["/events/top", "/events/series", "/events/distinct"]) {
    app.all(call, () => wrongMethod("GET, HEAD"));
  }
}

/** @throws {MisuseError} if a filter has no colon, or two filters have the same dimension */
function filterIn(texts: readonly string[] = []): Record<string, string> {
  const filter = Object.fromEntries(texts.map(pairIn));
  if (Object.keys(filter).length === texts.length) return filter;
  throw new MisuseError("filter", "must name each dimension once", texts);
}

function pairIn(text: string): [dimension: string, value: string] {
  const colon = text.indexOf(":");
  if (colon >= 0) return [text.slice(0, colon), text.slice(colon + 1)];
  throw new MisuseError("filter", 'must be a dimension and a value, such as "customer:c-17"', text);
}
