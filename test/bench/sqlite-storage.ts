/** A Durable Object's storage on SQLite, written in the turn of the `put` and never synced. */
import { DatabaseSync } from "node:sqlite";
import { deserialize, serialize } from "node:v8";
import { HEAD } from "../../src/owner/checkpoint/format.ts";
import type { OwnerStorage } from "../../src/owner/stored-counters.ts";

export class SqliteStorage implements OwnerStorage {
  bytes = 0;
  rows = 0;
  checkpoints = 0;
  readonly #db: DatabaseSync;

  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    this.#db.exec("CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID");
  }
  async list<T>(options: DurableObjectListOptions): Promise<Map<string, T>> {
    const { prefix = "", startAfter = "", limit = -1 } = options;
    const rows = this.#db
      .prepare(
        "SELECT key, value FROM kv WHERE key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
      )
      .all(startAfter, prefix, `${prefix}\uffff`, limit);
    return new Map(rows.map(({ key, value }) => [key as string, read<T>(value)]));
  }
  async get(key: string | string[]): Promise<never> {
    const row = this.#db.prepare("SELECT value FROM kv WHERE key = ?").get(String(key));
    return (row && read(row.value)) as never;
  }
  async put(entries: string | object): Promise<void> {
    if (HEAD in (entries as object)) this.checkpoints++;
    const insert = this.#db.prepare("INSERT OR REPLACE INTO kv VALUES (?, ?)");
    for (const [key, value] of Object.entries(entries)) {
      const bytes = serialize(value);
      this.bytes += bytes.length;
      this.rows++;
      insert.run(key, bytes);
    }
  }
  async delete(keys: string | string[]): Promise<never> {
    const remove = this.#db.prepare("DELETE FROM kv WHERE key = ?");
    for (const key of keys) {
      this.rows++;
      remove.run(key);
    }
    return 0 as never;
  }
  async deleteAll(): Promise<void> {
    this.#db.exec("DELETE FROM kv");
  }
  async sync(): Promise<void> {}
  async getAlarm(): Promise<number | null> {
    return null;
  }
  async setAlarm(): Promise<void> {
    // Paid for as a row.
    this.rows++;
  }
}

/** Bytes in a buffer of their own, as the runtime gives them. */
function read<T>(value: unknown): T {
  const found: unknown = deserialize(value as Uint8Array);
  return (found instanceof Uint8Array ? new Uint8Array(found) : found) as T;
}
