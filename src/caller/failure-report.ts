/**
 * Reports owners that are out of reach to the membership object of their region. A report names no
 * key.
 */
import { wrongClass } from "../protocol/bindings.ts";
import { regionOfOwner } from "../protocol/ring-record.ts";
import { type ObjectNamespace, type RingRpc, stubOf } from "../protocol/rpc.ts";
import type { Runtime } from "../runtime.ts";

/** Names this isolate in its reports, so that the object can count who reports. */
let isolateId: string | undefined;

/** Reports an owner. The next report makes up for a lost one. */
export function reportFailure(
  namespace: ObjectNamespace<RingRpc>,
  runtime: Runtime,
  owner: string,
): void {
  const report = async () => {
    // Not made at start, where the runtime gives no random numbers.
    isolateId ??= crypto.randomUUID();
    await stubOf(namespace, regionOfOwner(owner)).reportFailure(owner, isolateId);
  };
  runtime.keepAlive(report().catch(wrongClass));
}
