/** Which owners hold events: one object, in the home region, keeps the list. */
import type { EventStorage } from "./event-rows.ts";
import { HOUR } from "./level.ts";

/** An owner announces itself once a day while it counts; two days to spare. */
const LISTED_MS = HOUR.keptMs + 48 * HOUR.ms;

export class EventDirectory {
  readonly #sql: EventStorage["sql"];

  constructor({ sql }: Pick<EventStorage, "sql">) {
    this.#sql = sql;
    this.#rows("CREATE TABLE IF NOT EXISTS owners (name TEXT PRIMARY KEY, at INTEGER)");
  }

  announce(owner: string, nowMs: number): void {
    this.#rows("INSERT OR REPLACE INTO owners VALUES (?, ?)", owner, nowMs);
    this.#rows("DELETE FROM owners WHERE at < ?", nowMs - LISTED_MS);
  }

  owners(): string[] {
    return this.#rows("SELECT name FROM owners ORDER BY name").map(({ name }) => String(name));
  }

  #rows(query: string, ...values: (string | number)[]): Record<string, unknown>[] {
    return [...this.#sql.exec(query, ...values)];
  }
}
