/**
 * An owner as a member of a ring: counts what is its own, and says of all else that it has moved.
 *
 * While a change settles, a key whose counters are still with another owner waits here for them, in
 * order. In a settled ring all of this is one comparison for each batch. Without a membership
 * object the ring never changes.
 */
import { isBusy } from "../ring/elasticity.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { OwnerLoad } from "../ring/ring-change.ts";
import type { RingRecord } from "../ring/ring-record.ts";
import type { Check, Explanation, Refund } from "./check.ts";
import type { Parcel } from "./handover.ts";
import { LoadMeter } from "./load-meter.ts";
import type { Owner } from "./owner.ts";
import { type Peer, type Released, type Rows, Takeover } from "./takeover.ts";
import { Tenure } from "./tenure.ts";
import type { Answer, Batch } from "./wire.ts";

/** How the membership object of the owner's region is reached. */
export interface MembershipLink {
  ring(): Promise<RingRecord>;
  reportLoad(owner: string, checksPerSecond: number): Promise<void>;
}

export interface MemberOptions {
  /** The owner's name, such as `weur/3`. */
  name: string;
  owner: Owner;
  storage: Pick<DurableObjectStorage, "get" | "put">;
  peer: (name: string) => Peer;
  membership: MembershipLink | undefined;
  /** How long another owner may take to release a key; less than callers wait for this one. */
  releaseDeadlineMs: number;
  /** Load above which more owners join, checks a second; 0 if they never do. */
  highWater: number;
  wait: (ms: number) => Promise<void>;
}

/** The answer to an operator, or the ring in which somebody else is to be asked. */
export type Operated<Reply> = { reply: Reply } | { moved: RingRecord };

export interface Explained {
  ringVersion: number;
  /** Milliseconds until a block ends; 0 if there is none. */
  blockedMs: number;
  policies: Explanation[];
}

type Decide = (checks: readonly Refund[]) => Answer;

/** From one report of a high load to the next. */
const REPORT_INTERVAL_MS = 5_000;

export class Member {
  readonly #options: MemberOptions;
  readonly #owner: Owner;
  readonly #tenure: Tenure | undefined;
  readonly #takeover: Takeover | undefined;
  readonly #meter = new LoadMeter();
  #reportedMs = 0;

  constructor(options: MemberOptions) {
    const { membership, owner, releaseDeadlineMs: deadlineMs } = options;
    this.#options = options;
    this.#owner = owner;
    if (!membership) return;
    const tenure = new Tenure({ ...options, askRing: () => membership.ring() });
    this.#tenure = tenure;
    this.#takeover = new Takeover({ ...options, deadlineMs, tenure });
  }

  /** Reads what is on disk. To be awaited before anything else is called. */
  async load(): Promise<void> {
    await this.#owner.load();
    await this.#tenure?.load();
  }

  check(batch: Batch): Answer | Promise<Answer> {
    return this.#serve(batch, (checks) => this.#owner.check(checks));
  }

  peek(batch: Batch): Answer | Promise<Answer> {
    return this.#serve(batch, (checks) => this.#owner.peek(checks));
  }

  refund(batch: Batch): Answer | Promise<Answer> {
    return this.#serve(batch, (checks) => this.#owner.refund(checks));
  }

  reset(batch: Batch): Answer | Promise<Answer> {
    return this.#serve(batch, (checks) => this.#owner.reset(checks));
  }

  block(version: number, key: KeyHash, durationMs: number): Promise<Operated<void>> {
    return this.#operate(version, key, () => this.#owner.block(key, durationMs));
  }

  unblock(version: number, key: KeyHash): Promise<Operated<void>> {
    return this.#operate(version, key, () => this.#owner.unblock(key));
  }

  explain(version: number, check: Check): Promise<Operated<Explained>> {
    return this.#operate(version, check.key, () => ({
      ringVersion: this.#tenure?.ring.version ?? 1,
      ...this.#owner.explain(check),
    }));
  }

  /** Gives the counters of keys that have moved. They are not counted here any more. */
  release(version: number, keys: readonly KeyHash[]): Promise<Released<Rows>> {
    return this.#release(version, (nowMs) => ({ rows: this.#owner.handover.give(keys, nowMs) }));
  }

  /** Gives the counters of all keys that are `to`'s now, a parcel at a time. */
  releaseSome(version: number, to: string, from: number): Promise<Released<Parcel>> {
    return this.#release(version, (nowMs, { ring }) =>
      this.#owner.handover.giveSome(to, from, (key) => ring.ownerOf(key) === to, nowMs),
    );
  }

  /**
   * Hears of a ring.
   *
   * @throws {Error} if it can't be a ring of this region
   */
  async adopt(record: unknown): Promise<void> {
    await this.#tenure?.adopt(record);
  }

  /** Takes over all that is this owner's in a ring; see `OwnerLink`. */
  async takeOver(version: number): Promise<{ isDone: boolean; silent: string[] }> {
    return (await this.#takeover?.takeAll(version)) ?? { isDone: true, silent: [] };
  }

  status(): OwnerLoad {
    return { keys: this.#owner.keys, checksPerSecond: this.#meter.rate(this.#owner.now()) };
  }

  /** To be called when the alarm goes off. */
  wake(): Promise<void> {
    return this.#owner.saver.wake();
  }

  /** To be called when the owner has deleted all that was on disk. */
  cleared(): void {
    this.#tenure?.keep();
  }

  #serve(batch: Batch, decide: Decide): Answer | Promise<Answer> {
    const { version, checks } = batch;
    this.#measure(checks.length);
    const tenure = this.#tenure;
    if (!tenure || !this.#takeover || tenure.isPlain(version)) return decide(checks);
    return this.#serveInChange(tenure, this.#takeover, batch, decide);
  }

  async #serveInChange(
    tenure: Tenure,
    takeover: Takeover,
    { version, checks }: Batch,
    decide: Decide,
  ): Promise<Answer> {
    await tenure.catchUp(version);
    const isMine = ({ key }: Check) => tenure.isMine(key);
    const missing = () =>
      checks.filter(isMine).flatMap(({ key }) => (tenure.heldBy(key) ? [key] : []));
    for (let keys = missing(); keys.length > 0; keys = missing()) await takeover.take(keys);
    // From here on without a pause: whose each key is, and what is counted for it.
    const { verdicts, ...decided } = decide(checks.filter(isMine));
    const each = verdicts.values();
    const answer: Answer = {
      ...decided,
      verdicts: checks.map((check) => (isMine(check) ? each.next().value : undefined)),
    };
    const unsure = checks.map(({ key, policies }) => tenure.isUnsure(key, policies, decided.atMs));
    if (unsure.includes(true)) answer.unsure = unsure;
    if (version !== tenure.ring.version) answer.ring = tenure.record;
    return answer;
  }

  async #operate<Reply>(version: number, key: KeyHash, act: () => Reply): Promise<Operated<Reply>> {
    const tenure = this.#tenure;
    if (!tenure) return { reply: act() };
    await tenure.catchUp(version);
    while (tenure.isMine(key) && tenure.heldBy(key)) await this.#takeover?.take([key]);
    return tenure.isMine(key) ? { reply: act() } : { moved: tenure.record as RingRecord };
  }

  async #release<What>(
    version: number,
    give: (nowMs: number, tenure: Tenure) => What,
  ): Promise<Released<What>> {
    const tenure = this.#tenure as Tenure;
    if (!(await tenure.catchUp(version))) throw new Error(`no ring has the version ${version}`);
    if (tenure.ring.version !== version) return { moved: tenure.record as RingRecord };
    const atMs = this.#owner.now();
    return { version, atMs, what: give(atMs, tenure) };
  }

  /** Counts checks, and tells the membership object now and then of a load that is high. */
  #measure(checks: number): void {
    const nowMs = this.#owner.now();
    if (!this.#meter.add(checks, nowMs)) return;
    const { membership, name, highWater } = this.#options;
    const rate = this.#meter.rate(nowMs);
    if (!membership || !isBusy(rate, highWater)) return;
    if (nowMs - this.#reportedMs < REPORT_INTERVAL_MS) return;
    this.#reportedMs = nowMs;
    // A report that does not arrive is made up for by the next.
    membership.reportLoad(name, rate).catch(() => {});
  }
}
