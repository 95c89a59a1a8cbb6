/** Puts the rows that one owner exports into another owner. */
import { decodeRows } from "../../src/counters/segment.ts";
import type { Owner } from "../../src/owner/owner.ts";
import type { TableRows } from "../../src/protocol/rpc.ts";

export function putRows(owner: Owner, tables: readonly TableRows[]): void {
  for (const { table, bytes } of tables) {
    decodeRows(bytes, (key, state) => state && owner.putRow(table, key, state));
  }
}
