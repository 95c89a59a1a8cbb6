/** From a client's address to its owner, against the npm package `hashring`. */
import HashRing from "hashring";
import { Ring } from "../../../src/ring/ring.ts";
import { addressOf } from "../workloads.ts";
import { endless, hash } from "./keys.ts";
import { OPERATIONS, timed } from "./timing.ts";

const OWNERS = 16;
/** More than `hashring` remembers the answers to. */
const CLIENTS = 100_000;

export function lookup(): Promise<Record<string, number>> {
  const names = Array.from({ length: OWNERS }, (_, at) => `weur/${at}`);
  const address = endless(Array.from({ length: CLIENTS }, (_, client) => addressOf(client)));
  const ring = new Ring(names);
  const peer = new HashRing(names);
  return timed({
    [`npm hashring of ${OWNERS}`]: () => {
      for (let n = 0; n < OPERATIONS; n++) peer.get(address());
    },
    "key hash": () => {
      for (let n = 0; n < OPERATIONS; n++) hash([address()]);
    },
    [`key hash and ring of ${OWNERS}`]: () => {
      for (let n = 0; n < OPERATIONS; n++) ring.ownerOf(hash([address()]));
    },
  });
}
