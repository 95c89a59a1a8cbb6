/** Where the objects of the cache are: the binding `TURNPIKE_CACHE`, or the class that a Worker exports. */
import { MisuseError } from "../limit/misuse.ts";
import { isNamespace } from "../protocol/bindings.ts";
import type { ObjectNamespace } from "../protocol/rpc.ts";
import type { CacheRpc } from "./rpc.ts";

/** @throws {MisuseError} if there is neither, or the binding is of another kind */
export function cacheNamespace(env: object, exports: object): ObjectNamespace<CacheRpc> {
  const bound: unknown = Reflect.get(env, "TURNPIKE_CACHE") ?? Reflect.get(exports, "Cache");
  if (isNamespace(bound)) return bound as ObjectNamespace<CacheRpc>;
  const rule = "must be a Durable Object binding with the class_name Cache";
  const hint = 'or export Cache from "turnpike/cache" and name it in migrations';
  const kind = typeof bound === "object" && bound ? bound.constructor.name : bound;
  throw new MisuseError("TURNPIKE_CACHE", `${rule} (${hint})`, kind);
}
