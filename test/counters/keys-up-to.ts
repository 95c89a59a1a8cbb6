/** Keys for tests, as they are hashed: spread evenly, and the same in each run. */
import { type KeyHash, PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";

/** @param name another name makes other keys */
export function keysUpTo(count: number, name = ""): KeyHash[] {
  return Array.from({ length: count }, (_, n) => sipHash(PUBLIC_SIP_KEY, `${name}${n}`));
}
