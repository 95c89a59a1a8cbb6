/** Tells membership objects of owners that are out of reach, with no word of whose keys they hold. */
import { wrongClass } from "../protocol/bindings.ts";
import { regionOf } from "../protocol/ring-record.ts";
import { type MembershipRpc, type ObjectNamespace, stubOf } from "../protocol/rpc.ts";
import type { Runtime } from "../runtime.ts";

/** Makes the function that reports an owner. */
export function failureReporter(
  namespace: ObjectNamespace<MembershipRpc>,
  runtime: Runtime,
): (owner: string) => void {
  /** Which isolate this is, to tell reports apart. */
  let isolateId: string | undefined;

  async function report(owner: string): Promise<void> {
    // Not made at start, where the runtime gives no random numbers.
    isolateId ??= crypto.randomUUID();
    await stubOf(namespace, regionOf(owner)).reportFailure(owner, isolateId);
  }

  // A report that does not arrive is made up for by the next.
  return (owner) => runtime.keepAlive(report(owner).catch(wrongClass));
}
