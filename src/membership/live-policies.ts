/**
 * The policies that operators change while the Worker runs. Only the deployed Worker has them.
 *
 * The membership object of the home region decides on them and keeps their history. It sends each
 * document to the membership objects of the other regions, and the document's version to its own
 * owners. The others do the same for their owners. Who has yet to get a document is on disk, and an
 * alarm tries again. An owner that joins the ring gets the version together with the ring.
 *
 * A document reaches an object within 5 s, or within 2 s of when the object can be reached again.
 * So a try begins each second, and waits for no other: two tries that hang delay no other one. More
 * of them do (`open-calls.ts`): with twelve, the next try begins within 10 s. Each day in which a
 * region does not answer costs 86,400 alarms, about $0.10.
 */
import { log, logSeldom } from "../log.ts";
import { withDeadline } from "../protocol/deadline.ts";
import {
  DEPLOYED_VERSION,
  MAX_DOCUMENTS,
  type PoliciesChange,
  type PoliciesDocument,
  readDocument,
} from "../protocol/policies-document.ts";
import type { RingRecord } from "../protocol/ring-record.ts";
import type { MembershipRpc, Stub } from "../protocol/rpc.ts";
import { REGIONS, type Region } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";
import { OpenCalls } from "./open-calls.ts";

export interface LivePoliciesOptions {
  region: Region;
  homeRegion: Region;
  runtime: Runtime;
  storage: Pick<DurableObjectStorage, "get" | "put" | "delete" | "list">;
  /** Returns a new stub for another region's membership object. */
  membershipStub: (region: Region) => Pick<Stub<MembershipRpc>, "policies" | "adoptPolicies">;
  /** The owners of this region; empty if it is not in use. */
  owners: () => readonly string[];
  /** Sends an owner the ring, and with it the version. */
  tellOwner: (owner: string) => Promise<unknown>;
  /** Sets the object's alarm for what is due next. */
  setAlarm: () => Promise<void>;
}

interface Stored {
  /** Absent as long as nobody has changed the policies. */
  document?: PoliciesDocument | undefined;
  /** Owners and regions that the document has yet to reach. */
  unsent: string[];
}

/** Stands for the deployment's policies, which this object does not know. */
const DEPLOYED = { source: "deployment", policies: "[]", by: null } as const;
const STORAGE_KEY = "policies";
const HISTORY = "policies/";
/** Versions are padded to this length, so that their keys are in order. */
const VERSION_DIGITS = 10;
/** The pause between two tries to send a document, or to ask for it. */
const RETRY_MS = 1_000;
/** After this a try has failed. Later tries have begun by then. */
const SEND_DEADLINE_MS = 2_000;
/** A region asks one question at a time: after two that hang, the third still comes within 5 s. */
const ASK_DEADLINE_MS = 1_000;

export class LivePolicies {
  readonly #options: LivePoliciesOptions;
  #stored: Stored | undefined;
  #asking: Promise<void> | undefined;
  readonly #calls = new OpenCalls();

  constructor(options: LivePoliciesOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    this.#stored = await this.#options.storage.get<Stored>(STORAGE_KEY);
  }

  get version(): number {
    return this.#stored?.document?.version ?? DEPLOYED_VERSION;
  }

  /** How long until the document is sent or asked for again; undefined if that is not needed. */
  get retryMs(): number | undefined {
    return this.#isUnasked || this.#stored?.unsent.length ? RETRY_MS : undefined;
  }

  /** Adds the version to a ring on its way to an owner. */
  withVersion(record: RingRecord): RingRecord & { live?: number } {
    return this.version === DEPLOYED_VERSION ? record : { ...record, live: this.version };
  }

  /**
   * Returns the document if its version is above `known`.
   *
   * If owners tell of a version that the home region has not made, its storage was lost or restored.
   * Its document then goes out again at a later version, since nobody goes back to an earlier one.
   */
  async later(known: number, told = DEPLOYED_VERSION): Promise<PoliciesDocument | null> {
    await this.ensureAsked();
    const { region, homeRegion } = this.#options;
    if (told > this.version && region === homeRegion) {
      const { source, policies, by } = this.#stored?.document ?? DEPLOYED;
      await this.#put({ source, policies, by }, told + 1);
    }
    return this.version > known ? (this.#stored?.document ?? null) : null;
  }

  /**
   * Replaces the document, if its version is the one that the change expects. Of two changes that
   * expect one version, the second is refused.
   *
   * @returns the new document, or the version in force if the change is refused
   */
  async change({ ifVersion, ...changed }: PoliciesChange): Promise<PoliciesDocument | number> {
    if (ifVersion !== undefined && ifVersion !== this.version) return this.version;
    return this.#put(changed, this.version + 1);
  }

  async #put(changed: Omit<PoliciesChange, "ifVersion">, version: number) {
    const { runtime, storage, owners, region } = this.#options;
    const document: PoliciesDocument = { ...changed, version, atMs: runtime.now() };
    // No `await` since the version was read.
    this.#stored = {
      document,
      unsent: [...owners(), ...REGIONS.filter((other) => other !== region)],
    };
    const { source, by } = document;
    const outdated = historyKey(version - MAX_DOCUMENTS);
    await Promise.all([
      storage.put({ [STORAGE_KEY]: this.#stored, [historyKey(version)]: document }),
      storage.delete(outdated),
      this.#options.setAlarm(),
    ]);
    log("log", "policies-changed", { version, source, by });
    this.#send();
    return document;
  }

  /** Returns the documents that are kept, the latest first. */
  async history(): Promise<PoliciesDocument[]> {
    const { storage } = this.#options;
    const documents = await storage.list<PoliciesDocument>({ prefix: HISTORY });
    return [...documents.values()].reverse();
  }

  /** Adopts a document that the home region has sent. A region that is not in use asks later. */
  async adopt(value: unknown): Promise<void> {
    const document = readDocument(value);
    const { owners } = this.#options;
    if (document.version <= this.version || owners().length === 0) return;
    await this.#store({ document, unsent: [...owners()] });
    this.#send();
  }

  /** Asks the home region for the document, unless this region has done so. */
  async ensureAsked(): Promise<void> {
    const { region, homeRegion } = this.#options;
    if (this.#stored || region === homeRegion) return;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    await this.#asking;
  }

  /** Sends or asks again, when the alarm goes off. Waits for no other object. */
  async wake(): Promise<void> {
    await this.#options.setAlarm();
    if (this.#isUnasked) this.#options.runtime.keepAlive(this.ensureAsked().catch(() => {}));
    this.#send();
  }

  /** Whether this region is in use and has not heard from the home region yet. */
  get #isUnasked(): boolean {
    const { region, homeRegion, owners } = this.#options;
    return !this.#stored && region !== homeRegion && owners().length > 0;
  }

  async #ask(): Promise<void> {
    const { membershipStub, homeRegion, runtime, owners } = this.#options;
    const ask = () => membershipStub(homeRegion).policies(DEPLOYED_VERSION);
    const asked = this.#calls.begin(homeRegion, runtime.now(), ask);
    if (!asked) throw new Error(`${homeRegion} has not answered the last questions`);
    const found = await withDeadline(ASK_DEADLINE_MS, asked, runtime);
    if (this.#stored) return;
    const stored = { document: found ? readDocument(found) : undefined, unsent: [] };
    // Nothing is written for a region in which nothing counts.
    if (owners().length === 0) return;
    await this.#store({ ...stored, unsent: found ? [...owners()] : [] });
    this.#send();
  }

  /** Sends the document to all that have yet to get it. Waits for none of them. */
  #send(): void {
    const { document, unsent = [] } = this.#stored ?? {};
    if (!document) return;
    for (const name of unsent) this.#options.runtime.keepAlive(this.#sendTo(name, document));
  }

  /** Sends a region the document, or an owner its version. */
  async #sendTo(name: string, document: PoliciesDocument): Promise<void> {
    const { runtime } = this.#options;
    const reached = this.#calls.begin(name, runtime.now(), () => this.#reach(name, document));
    if (!reached) return;
    try {
      await withDeadline(SEND_DEADLINE_MS, reached, runtime);
    } catch (error) {
      logSeldom("warn", "policies-not-sent", name, { to: name, detail: String(error) });
    }
  }

  async #reach(name: string, document: PoliciesDocument): Promise<void> {
    const { membershipStub, tellOwner, owners } = this.#options;
    if (isRegion(name)) await membershipStub(name).adoptPolicies(document);
    // An owner that has left the ring is told nothing.
    else if (owners().includes(name)) await tellOwner(name);
    // A later document goes to all of them.
    const stored = this.#stored;
    if (stored?.document !== document || !stored.unsent.includes(name)) return;
    this.#stored = { document, unsent: stored.unsent.filter((other) => other !== name) };
    // Sending again after a restart does no harm, so this is written only once all have it.
    if (this.#stored.unsent.length === 0) await this.#store(this.#stored);
  }

  async #store(stored: Stored): Promise<void> {
    this.#stored = stored;
    const { storage, setAlarm } = this.#options;
    await Promise.all([storage.put({ [STORAGE_KEY]: stored }), setAlarm()]);
  }
}

function isRegion(name: string): name is Region {
  return REGIONS.some((region) => region === name);
}

function historyKey(version: number): string {
  return HISTORY + String(version).padStart(VERSION_DIGITS, "0");
}
