/** The deadlines of a membership object's calls to owners. */
import { withDeadline } from "../protocol/deadline.ts";
import type { OwnerRpc, Stub } from "../protocol/rpc.ts";
import type { Runtime } from "../runtime.ts";

/** The calls to an owner. Each may be repeated. */
export type OwnerLink = Pick<Stub<OwnerRpc>, "adopt" | "takeOver" | "status">;

/** To adopt a ring, an owner may have to delete a million keys. */
const ADOPT_DEADLINE_MS = 5_000;
/** An owner imports for 5 s before it answers. */
const TAKE_OVER_DEADLINE_MS = 15_000;
const STATUS_DEADLINE_MS = 1_000;

/** Returns the same calls. Each rejects when its deadline has passed. */
export function withDeadlines(owner: OwnerLink, runtime: Runtime): OwnerLink {
  return {
    adopt: (record) => withDeadline(ADOPT_DEADLINE_MS, owner.adopt(record), runtime),
    takeOver: (version) => withDeadline(TAKE_OVER_DEADLINE_MS, owner.takeOver(version), runtime),
    status: () => withDeadline(STATUS_DEADLINE_MS, owner.status(), runtime),
  };
}
