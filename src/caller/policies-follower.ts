/**
 * Follows the live policies for one isolate of the deployed Worker. Nobody polls.
 *
 * Each batch names the version that this isolate has, if there is one. An owner that knows a later
 * one says so with its answer. The isolate then fetches the document once, in the background, and
 * new requests are decided under it; those under way end under the policies they began with.
 *
 * A new isolate asks before its first decision. Its weakness: if no membership object answers
 * within the deadline, that decision is made under the deployment's policies.
 */
import { parseJson } from "../limit/json.ts";
import { InvalidError } from "../limit/misuse.ts";
import { parsePolicies } from "../limit/policies.ts";
import type { Policy } from "../limit/policy.ts";
import { logSeldom } from "../log.ts";
import { withDeadline } from "../protocol/deadline.ts";
import {
  DEPLOYED_VERSION,
  liveVersionIn,
  type PoliciesDocument,
  readDocument,
} from "../protocol/policies-document.ts";
import { regionOfOwner } from "../protocol/ring-record.ts";
import type { CounterNamespace, CounterStub } from "../protocol/rpc.ts";
import type { WireBatch } from "../protocol/wire.ts";
import type { WireAnswer } from "../protocol/wire-answer.ts";
import type { Region } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";

export interface PoliciesFollowerOptions {
  /** The policies of the deployment. */
  deployed: readonly Policy[];
  homeRegion: Region;
  /** Asks a region's membership object for a document later than `known`. */
  ask: (region: Region, known: number, told: number) => Promise<PoliciesDocument | null>;
  runtime: Runtime;
  /** How long the first decision waits, ms; 0 if nobody can change policies. */
  deadlineMs: number;
}

/** How long a membership object may take. Two are asked, one after the other. */
const ASK_DEADLINE_MS = 1_500;
/**
 * The pause after a question that fails. It doubles up to `MAX_FAILED_MS`. That is short enough to
 * follow within 5 s, and long enough for an object that a thousand isolates ask to recover.
 */
const FAILED_MS = 1_000;
const MAX_FAILED_MS = 3_000;
/** The pause after a question that never ends, since the runtime has ended its request. */
const LOST_MS = 4_000;

export class PoliciesFollower {
  readonly #options: PoliciesFollowerOptions;
  #policies: readonly Policy[];
  #version = DEPLOYED_VERSION;
  #hasBegun: boolean;
  #beginning: Promise<void> | undefined;
  /** Until when no other request asks. A time, since the runtime may end the request that asks. */
  #askingUntilMs = 0;
  #failedMs = FAILED_MS;

  constructor(options: PoliciesFollowerOptions) {
    this.#options = options;
    this.#policies = options.deployed;
    this.#hasBegun = options.deadlineMs === 0;
  }

  /** The policies in force: the same list object until they change. */
  get policies(): readonly Policy[] {
    return this.#policies;
  }

  /** The version that batches name; see `WireBatch`. */
  get version(): number {
    return this.#version;
  }

  /**
   * Learns which policies are live. Await this before a decision; undefined once they are known.
   * Never rejects.
   *
   * @param regionOf returns the request's region, whose membership object is asked
   */
  begin(regionOf: () => Region): Promise<void> | undefined {
    if (this.#hasBegun) return undefined;
    const { runtime, deadlineMs } = this.#options;
    if (!this.#beginning) {
      this.#beginning = this.#fetch(regionOf(), DEPLOYED_VERSION);
      runtime.keepAlive(this.#beginning);
    }
    // Each request has a timer of its own: the one that asks may end before the others.
    return withDeadline(deadlineMs, this.#beginning, runtime)
      .catch(() => {})
      .then(() => {
        this.#hasBegun = true;
      });
  }

  /** Wraps the owners: each call names this isolate's version, and hears the owner's. */
  through(owners: CounterNamespace): CounterNamespace {
    return {
      getByName: (name, options) =>
        new FollowingStub(this, owners.getByName(name, options), regionOfOwner(name) as Region),
    };
  }

  /** Notes that an owner of a region knows this version. */
  hear(version: number, region: Region): void {
    const { runtime } = this.#options;
    if (version <= this.#version || runtime.now() < this.#askingUntilMs) return;
    runtime.keepAlive(this.#fetch(region, version));
  }

  /** Puts later policies in force for new requests. */
  follow({ version, source, policies: text }: PoliciesDocument): void {
    if (version <= this.#version) return;
    this.#version = version;
    if (source === "deployment") {
      this.#policies = this.#options.deployed;
      return;
    }
    try {
      this.#policies = this.#kept(parsePolicies(parseJson(text), "policies"));
      // Somebody who restarts or deploys with other policies would wonder why nothing changes.
      logSeldom("log", "policies-live", "", { version });
    } catch (error) {
      // Written by a later version of the code, which knows more fields.
      if (!(error instanceof InvalidError)) throw error;
      logSeldom("error", "policies-refused", "", { version, detail: error.message });
    }
  }

  /** Fetches the document of that version or a later one; from the home region if need be. */
  async #fetch(region: Region, version: number): Promise<void> {
    const { ask, homeRegion, runtime } = this.#options;
    this.#askingUntilMs = runtime.now() + LOST_MS;
    for (const asked of new Set([region, homeRegion])) {
      try {
        const asking = ask(asked, this.#version, version);
        const found = await withDeadline(ASK_DEADLINE_MS, asking, runtime);
        if (found) this.follow(readDocument(found));
        // An object that another one has replaced may still answer, and knows no later version.
        if (this.#version < version) throw new Error(`it does not know the version ${version}`);
        this.#askingUntilMs = 0;
        this.#failedMs = FAILED_MS;
        return;
      } catch (error) {
        const detail = String(error);
        logSeldom("warn", "policies-not-fetched", asked, { region: asked, detail });
      }
    }
    this.#askingUntilMs = runtime.now() + this.#failedMs;
    this.#failedMs = Math.min(2 * this.#failedMs, MAX_FAILED_MS);
  }

  /**
   * Returns the policies, and unchanged ones as the same objects: much is remembered by object.
   */
  #kept(policies: readonly Policy[]): Policy[] {
    const before = new Map(this.#policies.map((policy) => [JSON.stringify(policy), policy]));
    return policies.map((policy) => before.get(JSON.stringify(policy)) ?? policy);
  }
}

class FollowingStub implements CounterStub {
  readonly #follower: PoliciesFollower;
  readonly #stub: CounterStub;
  readonly #region: Region;

  constructor(follower: PoliciesFollower, stub: CounterStub, region: Region) {
    this.#follower = follower;
    this.#stub = stub;
    this.#region = region;
  }

  check(batch: WireBatch) {
    return this.#hear(this.#stub.check(this.#named(batch)));
  }

  peek(batch: WireBatch) {
    return this.#hear(this.#stub.peek(this.#named(batch)));
  }

  refund(batch: WireBatch) {
    return this.#hear(this.#stub.refund(this.#named(batch)));
  }

  reset(batch: WireBatch) {
    return this.#stub.reset(batch);
  }

  explain(batch: WireBatch) {
    return this.#stub.explain(batch);
  }

  block(...of: Parameters<CounterStub["block"]>) {
    return this.#stub.block(...of);
  }

  unblock(...of: Parameters<CounterStub["unblock"]>) {
    return this.#stub.unblock(...of);
  }

  override(...of: Parameters<CounterStub["override"]>) {
    return this.#stub.override(...of);
  }

  #named(batch: WireBatch): WireBatch {
    const { version } = this.#follower;
    return version === DEPLOYED_VERSION ? batch : { ...batch, live: version };
  }

  async #hear(answered: Promise<WireAnswer>): Promise<WireAnswer> {
    const answer = await answered;
    if (!(answer instanceof Float64Array)) {
      this.#follower.hear(liveVersionIn(answer ?? {}), this.#region);
    }
    return answer;
  }
}
