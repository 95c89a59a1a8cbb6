/**
 * Gathers what an isolate counts, and sends it to the owners, each at most once a second.
 *
 * An owner that does not answer may have counted a batch. So the batch is sent to the same owner
 * again, under the same number, until the owner confirms it. Meanwhile later events for this owner
 * gather. An isolate that is ended loses what it has not sent: a second's events at most.
 */
import { logSeldom } from "../log.ts";
import { withDeadline } from "../protocol/deadline.ts";
import type { Runtime } from "../runtime.ts";
import { MAX_NAMES, OTHER_NAME } from "./bin.ts";
import type { Batch } from "./event-store.ts";
import { UNKNOWN } from "./tuple.ts";

export interface EventSenderOptions {
  runtime: Runtime;
  /** Returns the owner of tuples. Any owner will do; the same one keeps the sketches small. */
  ownerOf: (name: string, by: string) => string;
  record: (owner: string, batch: Batch) => Promise<void>;
  /** A random name for this isolate. */
  newSender: () => string;
  /** Returns a number from 0 to 1. */
  random: () => number;
  /** Called each time before gathered events are sent. */
  onSend?: (() => void) | undefined;
}

/** How long events gather. */
export const GATHER_MS = 1_000;
/** If the next moment to send is closer than this, the isolate waits for the one after. */
const EARLY_MS = 20;
/** How long a call to an owner may take. */
const DEADLINE_MS = 5_000;
/** How long a request sends the events of all. The runtime lets it live 30 s after its answer. */
const SHIFT_MS = 10_000;
/** How long a batch is sent again and again. An owner remembers its number for longer. */
const GIVE_UP_MS = 120_000;
/** The most tuples that gather. */
const MAX_GATHERED = 20_000;
/** The most tuples of a batch. */
const MAX_BATCH = 5_000;

interface Gathered {
  owner: string;
  amount: number;
}

/** A batch under way, and when it was first sent. */
interface Sent {
  batch: Batch;
  sinceMs: number;
}

export class EventSender {
  readonly #options: EventSenderOptions;
  #sender: string | undefined;
  /** When in a second this isolate sends, ms. */
  #phaseMs: number | undefined;
  #number = 0;
  /** The tuples that gather, by name, then by key. */
  readonly #gathered = new Map<string, Map<string, Gathered>>();
  #size = 0;
  readonly #sent = new Map<string, Sent>();
  /** Number of the request that sends the events of all now. */
  #shift = 0;
  /** When that request began to send, ms since the epoch. */
  #shiftMs = Number.NEGATIVE_INFINITY;

  constructor(options: EventSenderOptions) {
    this.#options = options;
  }

  /** @param by chooses the owner. Tuples that are read together should have the same. */
  count(name: string, key: string, amount: number, by = key): void {
    this.#add(name, key, amount, by);
    const { runtime } = this.#options;
    const nowMs = runtime.now();
    if (nowMs - this.#shiftMs < SHIFT_MS) return;
    this.#shiftMs = nowMs;
    runtime.keepAlive(this.#work(++this.#shift));
  }

  /** Adds an event: past the bound without its tuple, and further past it without its name. */
  #add(name: string, key: string, amount: number, by = key): void {
    const tuples = this.#gathered.get(name) ?? new Map<string, Gathered>();
    const known = tuples.get(key);
    const hasRoom = this.#size < MAX_GATHERED + MAX_NAMES || name === OTHER_NAME;
    if (known) known.amount += amount;
    else if (this.#size < MAX_GATHERED || (key === UNKNOWN && hasRoom)) {
      tuples.set(key, { owner: this.#options.ownerOf(name, by), amount });
      this.#gathered.set(name, tuples);
      this.#size++;
    } else if (key !== UNKNOWN) this.#add(name, UNKNOWN, amount);
    else this.#add(OTHER_NAME, UNKNOWN, amount);
  }

  /** Sends what has gathered each second, until nothing is left or another request takes over. */
  async #work(shift: number): Promise<void> {
    const { runtime } = this.#options;
    const endMs = runtime.now() + 2 * SHIFT_MS;
    do {
      await runtime.wait(this.#untilSendMs());
      if (shift !== this.#shift) return;
      await this.#sendAll();
    } while (this.#size + this.#sent.size > 0 && runtime.now() < endMs);
    if (shift === this.#shift) this.#shiftMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Returns how long to wait until this isolate's moment of a second. The moment is far from a
   * second's end. So an owner gets one batch of the isolate in each second, never two and then
   * none.
   */
  #untilSendMs(): number {
    const { runtime, random } = this.#options;
    this.#phaseMs ??= (0.25 + random() / 2) * GATHER_MS;
    const waitMs = GATHER_MS - ((runtime.now() + GATHER_MS - this.#phaseMs) % GATHER_MS);
    // A timer may be a bit early.
    return waitMs < EARLY_MS ? waitMs + GATHER_MS : waitMs;
  }

  async #sendAll(): Promise<void> {
    this.#options.onSend?.();
    for (const [owner, counts] of this.#takeGathered()) this.#prepare(owner, counts);
    await Promise.all(Array.from(this.#sent, ([owner, sent]) => this.#send(owner, sent)));
  }

  /** Takes what may be sent now: at most one batch for each owner that has none under way. */
  #takeGathered(): Map<string, Batch["counts"]> {
    const taken = new Map<string, Batch["counts"]>();
    for (const [name, tuples] of this.#gathered) {
      for (const [key, { owner, amount }] of tuples) {
        const counts = taken.get(owner) ?? [];
        if (this.#sent.has(owner) || counts.length >= 3 * MAX_BATCH) continue;
        counts.push(name, key, amount);
        taken.set(owner, counts);
        tuples.delete(key);
        this.#size--;
      }
      if (tuples.size === 0) this.#gathered.delete(name);
    }
    return taken;
  }

  #prepare(owner: string, counts: Batch["counts"]): void {
    this.#sender ??= this.#options.newSender();
    const batch = { sender: this.#sender, number: ++this.#number, counts };
    this.#sent.set(owner, { batch, sinceMs: this.#options.runtime.now() });
  }

  async #send(owner: string, sent: Sent): Promise<void> {
    const { runtime, record } = this.#options;
    try {
      await withDeadline(DEADLINE_MS, record(owner, sent.batch), runtime);
    } catch (error) {
      const isLost = runtime.now() - sent.sinceMs >= GIVE_UP_MS;
      const event = isLost ? "events-lost" : "events-not-sent";
      logSeldom("warn", event, owner, { owner, detail: String(error) });
      if (!isLost) return;
    }
    if (this.#sent.get(owner) === sent) this.#sent.delete(owner);
  }
}
