/** Keys for measurements: hashed addresses, as many as are asked for. */
import { type KeyHash, keyHasher } from "../../../src/ring/key-hash.ts";
import { addressOf } from "../workloads.ts";

export const hash = keyHasher("a secret of the benchmark");

/** Returns distinct keys, in no order that a table could profit from. */
export function keys(count: number): KeyHash[] {
  return Array.from({ length: count }, (_, client) => hash([addressOf(client)]));
}

/** Returns what walks through a list again and again. */
export function endless<Item>(list: readonly Item[]): () => Item {
  let at = 0;
  return () => {
    at = at + 1 < list.length ? at + 1 : 0;
    return list[at] as Item;
  };
}
