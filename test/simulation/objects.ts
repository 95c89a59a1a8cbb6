/**
 * The objects and their lives. An object has one life at a time, except while it is duplicated:
 * then the older life still answers some calls, and its writes are refused.
 */
import type { OperatedRingKeeper } from "../../src/membership/operated-ring-keeper.ts";
import { type Disk, newDisk } from "./disk.ts";
import type { OwnerMethods } from "./hosts.ts";
import { Machine } from "./machine.ts";
import type { Host } from "./network.ts";
import type { Schedule } from "./schedule.ts";

type AnyHost = Host<OwnerMethods | OperatedRingKeeper>;

interface Lives {
  present?: AnyHost | undefined;
  older?: AnyHost | undefined;
}

export interface ObjectsOptions {
  schedule: Schedule;
  /** Starts what runs on a machine. */
  start: (machine: Machine) => AnyHost;
  /** Called when a life ends, and loses what it has not put on disk. */
  onLoss: (machine: Machine) => void;
  tell: (text: string) => void;
}

const ALARM_RETRY_MS = 2_000;
const MOST_DUPLICATED_MS = 1_500;

export class Objects {
  readonly disks = new Map<string, Disk>();
  readonly #options: ObjectsOptions;
  readonly #lives = new Map<string, Lives>();

  constructor(options: ObjectsOptions) {
    this.#options = options;
  }

  /** Returns the life that gets a message. */
  reach(name: string): AnyHost {
    const { older } = this.#livesOf(name);
    return older && this.#options.schedule.odds(0.5) ? older : this.#present(name);
  }

  /** Returns the machine that an object runs on, if it runs. */
  machine(name: string): Machine | undefined {
    return this.#lives.get(name)?.present?.machine;
  }

  /** Begins another life of an object while this one goes on for a moment. */
  duplicate(name: string): void {
    const lives = this.#livesOf(name);
    if (!lives.present) return;
    const { schedule, onLoss } = this.#options;
    const { machine } = lives.present;
    lives.older?.machine.die();
    lives.older = lives.present;
    lives.present = undefined;
    machine.isSole = false;
    onLoss(machine);
    schedule.after(schedule.int(0, MOST_DUPLICATED_MS), () => machine.die());
  }

  #present(name: string): AnyHost {
    const lives = this.#livesOf(name);
    lives.present ??= this.#start(name, lives);
    return lives.present;
  }

  #start(name: string, lives: Lives): AnyHost {
    const { schedule, start, onLoss, tell } = this.#options;
    tell(`${name} starts`);
    const disk = this.disks.get(name) ?? newDisk((atMs) => this.#setAlarm(name, atMs));
    this.disks.set(name, disk);
    const machine = new Machine(name, schedule, disk, () => {
      tell(`a life of ${name} ends`);
      if (lives.present?.machine === machine) lives.present = undefined;
      if (lives.older?.machine === machine) lives.older = undefined;
      onLoss(machine);
    });
    const host = start(machine);
    host.ready.catch(() => machine.die());
    return host;
  }

  #livesOf(name: string): Lives {
    const lives = this.#lives.get(name) ?? {};
    this.#lives.set(name, lives);
    return lives;
  }

  #setAlarm(name: string, atMs: number): void {
    this.#options.schedule.at(atMs, () => {
      const disk = this.disks.get(name) as Disk;
      if (disk.alarmMs !== atMs) return;
      disk.alarmMs = null;
      void this.#wake(name);
    });
  }

  /** Wakes an object by its alarm, again and again until that succeeds. */
  async #wake(name: string): Promise<void> {
    const { schedule, tell } = this.#options;
    const { machine, ready, methods } = this.#present(name);
    tell(`${name} has an alarm`);
    const again = () => schedule.after(ALARM_RETRY_MS, () => void this.#wake(name));
    machine.calls.add(again);
    try {
      await ready;
      await methods.wake();
      // The alarm succeeds once what it wrote is on disk.
      await machine.storage.sync();
    } catch {
      if (machine.isAlive) again();
    } finally {
      machine.calls.delete(again);
    }
  }
}
