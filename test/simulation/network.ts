/**
 * Calls between machines. Each way takes time, and a message may be lost or late.
 *
 * If a reply is lost, the call has taken effect, and its sender does not know.
 */
import type { Machine } from "./machine.ts";
import type { Schedule } from "./schedule.ts";

/** The longest way of a message that is in time: eight of them fit into any deadline. */
const MOST_DELAY_MS = 10;
/** The longest way of a late message: longer than most deadlines. */
const MOST_LATE_MS = 3_000;

/** The machine or request that calls. If it is not alive any more, a reply is dropped. */
export type Sender = Pick<Machine, "name" | "isAlive" | "storage">;

/** What can be called. */
export interface Host<Methods> {
  machine: Machine;
  /** Rejects if it could not start. */
  ready: Promise<void>;
  methods: Methods;
}

export class Network {
  /** Shares of the messages that get lost, and that are late. */
  lossShare = 0;
  lateShare = 0;
  /** Pairs of names between which nothing passes. */
  readonly cuts = new Set<string>();
  readonly #schedule: Schedule;

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  cut(one: string, other: string, ms: number): void {
    const pair = pairOf(one, other);
    this.cuts.add(pair);
    this.#schedule.after(ms, () => this.cuts.delete(pair));
  }

  heal(): void {
    this.cuts.clear();
    this.lossShare = 0;
    this.lateShare = 0;
  }

  /** @param reach returns the host that the message arrives at */
  call<Methods, Reply>(
    from: Sender,
    to: string,
    reach: () => Host<Methods>,
    act: (methods: Methods) => Reply | Promise<Reply>,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        // The sender hears of half of the failures; the others are silent.
        if (this.#schedule.odds(0.5)) return;
        this.#schedule.after(this.#schedule.int(0, MOST_DELAY_MS), () => {
          if (from.isAlive) reject(new Error(why));
        });
      };
      const back = (deliver: () => void) => {
        this.#travel(to, from.name, () => from.isAlive && deliver(), fail);
      };
      const arrive = async () => {
        const { machine, ready, methods } = reach();
        const broken = () => fail("the object was reset");
        machine.calls.add(broken);
        try {
          await ready;
          const reply = await act(methods);
          await machine.storage.gate();
          if (machine.isAlive) back(() => resolve(reply));
        } catch (error) {
          if (machine.isAlive) back(() => reject(error));
        } finally {
          machine.calls.delete(broken);
        }
      };
      const send = () => {
        if (from.isAlive) this.#travel(from.name, to, arrive, fail);
      };
      const gate = from.storage.gate();
      if (gate) gate.then(send);
      else send();
    });
  }

  #travel(from: string, to: string, arrive: () => void, fail: (why: string) => void): void {
    const isCut = this.cuts.size > 0 && this.cuts.has(pairOf(from, to));
    if (isCut || this.#schedule.odds(this.lossShare)) {
      fail("the network is down");
      return;
    }
    const isLate = this.#schedule.odds(this.lateShare);
    const mostMs = isLate ? MOST_LATE_MS : MOST_DELAY_MS;
    this.#schedule.after(this.#schedule.int(0, mostMs), arrive);
  }
}

function pairOf(one: string, other: string): string {
  return [one, other].sort().join("|");
}
