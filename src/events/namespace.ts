/** Where the objects of events are: the binding `TURNPIKE_EVENTS`, or the class that a Worker exports. */
import { MisuseError } from "../limit/misuse.ts";
import { isNamespace } from "../protocol/bindings.ts";
import type { ObjectNamespace } from "../protocol/rpc.ts";
import type { Region } from "../ring/region.ts";
import type { EventsRpc } from "./rpc.ts";

/** @throws {MisuseError} if there is neither, or the binding is of another kind */
export function eventsNamespace(env: object, exports: object): ObjectNamespace<EventsRpc> {
  const bound: unknown = Reflect.get(env, "TURNPIKE_EVENTS") ?? Reflect.get(exports, "Events");
  if (isNamespace(bound)) return bound as ObjectNamespace<EventsRpc>;
  const rule = "must be a Durable Object binding with the class_name Events";
  const hint = 'or export Events from "turnpike/events" and name it in migrations';
  const kind = typeof bound === "object" && bound ? bound.constructor.name : bound;
  throw new MisuseError("TURNPIKE_EVENTS", `${rule} (${hint})`, kind);
}

/** Returns the name of the object that lists the owners. It is created in the home region. */
export function directoryOf(home: Region): string {
  return `${home}/directory`;
}
