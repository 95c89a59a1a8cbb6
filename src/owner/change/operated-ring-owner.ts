/**
 * An owner that tells its callers of live policies: a caller that names an earlier version, or
 * none, hears of the later one with the next answer. Only the deployed Worker has it.
 *
 * The owner knows the version, not the policies. The version comes with each ring that the
 * membership object sends. The owner asks for one if it starts without a ring, or if a caller names
 * a later version. The version is on disk beside the ring.
 */
import { DEPLOYED_VERSION, liveVersionIn } from "../../protocol/policies-document.ts";
import { type RingRecord, regionOfOwner } from "../../protocol/ring-record.ts";
import type { WireBatch } from "../../protocol/wire.ts";
import type { WireAnswer } from "../../protocol/wire-answer.ts";
import { RingOwner, type RingOwnerOptions } from "./ring-owner.ts";

type Answered = WireAnswer | Promise<WireAnswer>;

const STORAGE_KEY = "live";
/** The least time between two questions about a version that a caller names. */
const ASK_INTERVAL_MS = 1_000;

export class OperatedRingOwner extends RingOwner {
  readonly #options: RingOwnerOptions;
  #version = DEPLOYED_VERSION;
  /** The version on disk. */
  #stored = DEPLOYED_VERSION;
  #askedMs = 0;

  constructor(options: RingOwnerOptions) {
    const { membershipStub } = options;
    super({
      ...options,
      membershipStub:
        membershipStub &&
        ((region) => {
          const stub = membershipStub(region);
          return {
            ring: async () => {
              const record = await stub.ring();
              await this.#hear(record);
              return record;
            },
            reportLoad: (owner, rate) => stub.reportLoad(owner, rate),
          };
        }),
    });
    this.#options = options;
  }

  override async load(): Promise<void> {
    const stored: unknown = await this.#options.storage.get(STORAGE_KEY);
    this.#stored = liveVersionIn({ live: stored });
    this.#version = this.#stored;
    await super.load();
  }

  override check(batch: WireBatch): Answered {
    return this.#tell(batch, super.check(batch));
  }

  override peek(batch: WireBatch): Answered {
    return this.#tell(batch, super.peek(batch));
  }

  override refund(batch: WireBatch): Answered {
    return this.#tell(batch, super.refund(batch));
  }

  override async adopt(record: unknown): Promise<RingRecord | undefined> {
    const known = await super.adopt(record);
    await this.#hear(record);
    return known;
  }

  protected override onCleared(): void {
    super.onCleared();
    this.#stored = DEPLOYED_VERSION;
    void this.#store(this.ring, { allowUnconfirmed: true });
  }

  #tell(batch: WireBatch, answered: Answered): Answered {
    const known = liveVersionIn(batch);
    if (known === this.#version) return answered;
    if (known > this.#version) this.#ask();
    return answered instanceof Promise
      ? answered.then((answer) => this.#withVersion(answer, known))
      : this.#withVersion(answered, known);
  }

  #withVersion(answer: WireAnswer, known: number): WireAnswer {
    if (this.#version <= known) return answer;
    const parts = answer instanceof Float64Array ? { numbers: answer } : answer;
    return { ...parts, live: this.#version };
  }

  /** Notes the version that comes with a ring. */
  async #hear(record: unknown): Promise<void> {
    const version = liveVersionIn((record ?? {}) as object);
    this.#version = Math.max(this.#version, version);
    await this.#store(this.ring ?? (record as RingRecord));
  }

  /** Asks the membership object, in the background: a caller's word alone does not count. */
  #ask(): void {
    const { membershipStub, name, runtime } = this.#options;
    const nowMs = runtime.now();
    if (!membershipStub || nowMs - this.#askedMs < ASK_INTERVAL_MS) return;
    this.#askedMs = nowMs;
    const asked = membershipStub(regionOfOwner(name)).ring();
    runtime.keepAlive(asked.then((record) => this.#hear(record)).catch(() => {}));
  }

  /** Writes the version to disk. An owner that is in no ring leaves nothing there. */
  async #store(ring: RingRecord | undefined, options: DurableObjectPutOptions = {}): Promise<void> {
    const { storage, name } = this.#options;
    if (!ring?.owners.includes(name) || this.#stored === this.#version) return;
    this.#stored = this.#version;
    await storage.put({ [STORAGE_KEY]: this.#version }, options);
  }
}
