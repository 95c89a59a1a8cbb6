/** Where the objects of the cache are. */
import { extraNamespace } from "../protocol/bindings.ts";
import type { CacheRpc } from "./rpc.ts";

/** @throws {MisuseError} if they are nowhere */
export function cacheNamespace(env: object, exports: object) {
  return extraNamespace<CacheRpc>("TURNPIKE_CACHE", "Cache", "turnpike/cache", env, exports);
}
