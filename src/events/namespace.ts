/** How the objects of events are reached. */
import { extraNamespace } from "../protocol/bindings.ts";
import type { Region } from "../ring/region.ts";
import type { EventsRpc } from "./rpc.ts";

/** @throws {MisuseError} if the Worker neither binds nor exports the class */
export function eventsNamespace(env: object, exports: object) {
  const events = { className: "Events", entryPoint: "turnpike/events" };
  return extraNamespace<EventsRpc>("TURNPIKE_EVENTS", events, env, exports);
}

/** Returns the name of the object that lists the owners. It is created in the home region. */
export function directoryOf(home: Region): string {
  return `${home}/directory`;
}
