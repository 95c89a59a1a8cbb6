/**
 * Reports owners that are out of reach to the membership object of their region. A report names no
 * key.
 */
import { wrongClass } from "../protocol/bindings.ts";
import { regionOfOwner } from "../protocol/ring-record.ts";
import { type ObjectNamespace, type RingRpc, stubOf } from "../protocol/rpc.ts";
import type { Runtime } from "../runtime.ts";

/** Makes the function that reports an owner. */
export function failureReporter(
  namespace: ObjectNamespace<RingRpc>,
  runtime: Runtime,
): (owner: string) => void {
  /** Names this isolate in its reports, so that the object can count who reports. */
  let isolateId: string | undefined;

  async function report(owner: string): Promise<void> {
    // Not made at start, where the runtime gives no random numbers.
    isolateId ??= crypto.randomUUID();
    await stubOf(namespace, regionOfOwner(owner)).reportFailure(owner, isolateId);
  }

  // A report that gets lost is made up for by the next one.
  return (owner) => runtime.keepAlive(report(owner).catch(wrongClass));
}
