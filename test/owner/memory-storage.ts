/** An owner's storage in memory, with the platform's bounds on one call and one value. */
import type { OwnerStorage } from "../../src/owner/stored-counters.ts";
import { copied } from "./copied.ts";
import { listed } from "./listed.ts";

const MAX_KEYS = 128;
const MAX_VALUE_BYTES = 2 * 1_024 * 1_024;

export class MemoryStorage implements OwnerStorage {
  entries = new Map<string, unknown>();
  alarmMs: number | null = null;
  puts = 0;
  /** Bytes of tables that were put. */
  bytes = 0;

  async list<T>(options?: DurableObjectListOptions): Promise<Map<string, T>> {
    const entries = listed(this.entries, options);
    return new Map(entries.map(([key, value]) => [key, copied(value) as T]));
  }
  async get(key: string | string[]): Promise<never> {
    return copied(this.entries.get(String(key))) as never;
  }
  async put(entries: string | object): Promise<void> {
    this.puts++;
    requireFew(Object.keys(entries));
    for (const [key, value] of Object.entries(entries)) {
      this.entries.set(key, copied(value));
      if (!(value instanceof Uint8Array)) continue;
      if (value.length > MAX_VALUE_BYTES) throw new Error(`a value has ${value.length} bytes`);
      this.bytes += value.length;
    }
  }
  async delete(keys: string | string[]): Promise<never> {
    requireFew([...keys]);
    for (const key of keys) this.entries.delete(key);
    return 0 as never;
  }
  async deleteAll(): Promise<void> {
    this.entries.clear();
    this.alarmMs = null;
  }
  async sync(): Promise<void> {}
  async getAlarm(): Promise<number | null> {
    return this.alarmMs;
  }
  async setAlarm(time: number | Date): Promise<void> {
    this.alarmMs = Number(time);
  }
}

function requireFew({ length }: readonly string[]): void {
  if (length > MAX_KEYS) throw new Error(`one call has ${length} keys`);
}
