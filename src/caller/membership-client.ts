/** Calls the membership objects, one for each region, with the deadline of an operator. */

import { missingMethod, wrongClass } from "../protocol/bindings.ts";
import { withDeadline } from "../protocol/deadline.ts";
import type { PoliciesChange, PoliciesDocument } from "../protocol/policies-document.ts";
import { type RingRecord, regionOfOwner } from "../protocol/ring-record.ts";
import {
  type MembershipRpc,
  type ObjectNamespace,
  type Refusal,
  type RingStatus,
  type Stub,
  stubOf,
} from "../protocol/rpc.ts";
import { REGIONS, type Region } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";
import { CallError, OPERATOR_DEADLINE_MS } from "./call.ts";

export class MembershipClient {
  readonly #namespace: ObjectNamespace<MembershipRpc>;
  readonly #runtime: Runtime;

  constructor(namespace: ObjectNamespace<MembershipRpc>, runtime: Runtime) {
    this.#namespace = namespace;
    this.#runtime = runtime;
  }

  /**
   * Returns the rings of all regions that have one.
   *
   * @param home a region that gets a ring if it has none yet
   * @throws {CallError} if a membership object does not answer
   */
  async status(home: Region): Promise<RingStatus[]> {
    const asked = REGIONS.map((region) => this.statusOf(region, region === home));
    return (await Promise.all(asked)).filter((status) => status !== null);
  }

  /**
   * Returns a region's ring.
   *
   * @param isWanted whether a region without a ring gets one; if not, returns undefined
   * @throws {CallError} if the membership object does not answer
   */
  async ring(region: Region, isWanted: boolean): Promise<RingRecord | undefined> {
    const ifUsed = async (stub: Stub<MembershipRpc>): Promise<RingRecord | null> => {
      try {
        return await stub.ringIfUsed();
      } catch (error) {
        if (missingMethod(error) !== "ringIfUsed") throw error;
        // An older version, during a deployment. Better to make an unused ring than to miss one.
        return stubOf(this.#namespace, region).ring();
      }
    };
    const ring = await this.#operate(region, isWanted ? (stub) => stub.ring() : ifUsed);
    return ring ?? undefined;
  }

  /** @throws {CallError} if the membership object does not answer */
  statusOf(region: Region, isWanted: boolean): Promise<RingStatus | null> {
    return this.#operate(region, (stub) => stub.status(isWanted));
  }

  /**
   * Begins to add an owner to a region: the one named, or the one with the lowest free number.
   *
   * @returns the reason, if the ring can't change that way now
   * @throws {CallError} if the membership object does not answer
   */
  add(region: Region, name?: string): Promise<Refusal | undefined> {
    return this.#operate(region, (stub) => stub.add(name));
  }

  /** Begins to remove an owner; see {@link add}. */
  remove(name: string): Promise<Refusal | undefined> {
    return this.#operate(regionOfOwner(name) as Region, (stub) => stub.remove(name));
  }

  /** Returns the policies in force if their version is above `known`. Rejects as {@link status}. */
  policies(region: Region, known: number, told?: number): Promise<PoliciesDocument | null> {
    return this.#operate(region, (stub) => stub.policies(known, told));
  }

  /** @returns the new document, or the version in force if the change is refused */
  changePolicies(home: Region, change: PoliciesChange): Promise<PoliciesDocument | number> {
    return this.#operate(home, (stub) => stub.changePolicies(change));
  }

  policiesHistory(home: Region): Promise<PoliciesDocument[]> {
    return this.#operate(home, (stub) => stub.policiesHistory());
  }

  async #operate<Reply>(
    region: Region,
    call: (stub: Stub<MembershipRpc>) => Promise<Reply>,
  ): Promise<Reply> {
    try {
      const reply = call(stubOf(this.#namespace, region));
      return await withDeadline(OPERATOR_DEADLINE_MS, reply, this.#runtime);
    } catch (error) {
      wrongClass(error);
      throw new CallError("threw", `membership of ${region}: ${error}`);
    }
  }
}
