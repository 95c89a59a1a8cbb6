/**
 * Policies that an operator changes, in some runs: no isolate goes back to an earlier version or
 * mixes two, and in the end each isolate and each owner follows the last one.
 */
import { parsePolicies } from "../../src/limit/policies.ts";
import type { Policy } from "../../src/limit/policy.ts";
import type { PoliciesDocument } from "../../src/protocol/policies-document.ts";
import { type ExtrasOptions, questionOf } from "./extras.ts";
import { REGION } from "./hosts.ts";
import { Machine } from "./machine.ts";
import { LIVE } from "./subjects.ts";
import type { Isolate, World } from "./world.ts";

/** Time between two checks of an isolate, in which it fetches the version it has heard of. */
const FETCH_MS = 1_000;
/** Added to the limit of the second policy, so that the limits of both show the version. */
const OTHER = 1_000;

export class Live {
  readonly #options: ExtrasOptions;
  readonly #operator: Machine;
  /** The latest version that each isolate decided under. */
  readonly #latest = new Map<Isolate, number>();

  constructor(options: ExtrasOptions) {
    this.#options = options;
    const { ledger, schedule } = options.world;
    this.#operator = new Machine("operator of policies", schedule);
    ledger.open(LIVE);
  }

  stir(): void {
    const { world, often } = this.#options;
    const { schedule } = world;
    if (!schedule.odds(0.4)) return;
    often(20, 40, () => void this.#check(schedule.pick(this.#options.isolates)));
    often(1, 6, () => this.#change());
  }

  /** Makes each isolate ask until it must have heard, and compares the version it follows. */
  async audit(): Promise<void> {
    const { world, isolates } = this.#options;
    for (const isolate of isolates) void this.#auditOne(isolate);
    const latest = versionOnDisk(world);
    const { record } = world.members ?? {};
    for (const owner of record?.owners ?? []) {
      const onDisk = world.objects.disks.get(owner)?.entries;
      // An owner that nobody has asked has no ring yet, and hears of the version with it.
      if (!onDisk?.has("ring")) continue;
      const known = (onDisk.get("live") ?? 0) as number;
      if (known !== latest) {
        world.ledger.violated(`${owner} knows the live version ${known}, not ${latest}`);
      }
    }
  }

  async #auditOne(isolate: Isolate): Promise<void> {
    const { world } = this.#options;
    for (let asked = 0; asked < 3; asked++) {
      await this.#check(isolate);
      await new Promise<void>((resolve) => world.schedule.after(FETCH_MS, resolve));
    }
    const { machine, follower } = isolate;
    const [version, latest] = [versionOf(follower.policies), versionOnDisk(world)];
    if (version === latest || !machine.isAlive) return;
    world.ledger.violated(`${machine.name} follows the live version ${version}, not ${latest}`);
  }

  #change(): void {
    const { world } = this.#options;
    const { schedule, ledger } = world;
    // Of two changes that replace one version, the second is refused.
    const ifVersion = schedule.odds(0.3) ? versionOnDisk(world) : undefined;
    const changed = world.askMembership(this.#operator, async (members) => {
      const version = members.policies.version + 1;
      for (const { name, limit } of policiesOf(version)) {
        const account = ledger.account(LIVE.hash, name);
        account.limit = Math.max(account.limit, limit);
      }
      const policies = JSON.stringify(writtenAs(version));
      return members.policies.change({ source: "live", policies, by: null, ifVersion });
    });
    changed.then(
      (made) => world.tell(`policies changed: ${typeof made === "number" ? "lost" : made.version}`),
      (error) => world.tell(`policies not changed: ${error}`),
    );
  }

  async #check(isolate: Isolate): Promise<void> {
    const { world, isFaulty } = this.#options;
    const { ledger } = world;
    const { machine, caller, follower } = isolate;
    await follower.begin(() => REGION);
    const { policies } = follower;
    const version = versionOf(policies);
    const latest = this.#latest.get(isolate) ?? 0;
    if (version < latest) {
      ledger.violated(`${machine.name} goes back to the live version ${version}, from ${latest}`);
    }
    this.#latest.set(isolate, version);
    ledger.asked(LIVE, policies);
    const [reply] = await caller.check([questionOf(LIVE, policies)]);
    if (!machine.isAlive || !reply) return;
    ledger.decided(LIVE, reply, false);
    const limits = reply.decisions.map(({ limit }) => limit);
    const written = writtenAs(version).map(({ limit }) => limit);
    if (limits.join() !== written.join()) {
      ledger.violated(`decided by ${limits}, of more than one live version`);
    }
    if (version > versionOnDisk(world)) ledger.violated(`${version} is no live version`);
    if (!isFaulty && !reply.decisions.every(({ exact }) => exact)) {
      ledger.violated("a live policy is decided inexact, though nothing fails");
    }
  }
}

/** Returns the policies of a version as an operator writes them; those deployed are version 0. */
function writtenAs(version: number) {
  const limit = 4 + version;
  return [
    { name: "live", limit, window: "1d" },
    { name: "live-too", limit: OTHER + limit, window: "1d", algorithm: "sliding-window" },
  ];
}

function policiesOf(version: number): Policy[] {
  return version === 0 ? [...LIVE.policies] : parsePolicies(writtenAs(version), "policies");
}

function versionOf([policy]: readonly Policy[]): number {
  return (policy?.limit ?? 0) - 4;
}

function versionOnDisk({ objects }: World): number {
  const stored = objects.disks.get(REGION)?.entries.get("policies") as
    | { document?: PoliciesDocument }
    | undefined;
  return stored?.document?.version ?? 0;
}
