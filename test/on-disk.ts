/** Looks at what a running workerd has on disk. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { CRASH_MARK } from "../src/owner/checkpoint/format.ts";

/** Where `startWorkerd` has the storage of the owners. */
const OWNERS = "bench";
const POLL_MS = 50;

/**
 * Resolves when all that the owners have counted is on their disk: each takes its mark of a crash
 * away then.
 *
 * @param folder that of the workerd
 */
export async function allOnDisk(folder: string): Promise<void> {
  const owners = join(folder, OWNERS);
  while (existsSync(owners) && readdirSync(owners).some((name) => isMarked(join(owners, name)))) {
    await sleep(POLL_MS);
  }
}

function isMarked(file: string): boolean {
  if (!/\/[\da-f]{64}\.sqlite$/.test(file)) return false;
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    return db.prepare("SELECT 1 FROM _cf_KV WHERE key = ?").get(CRASH_MARK) !== undefined;
  } catch (error) {
    // Of an owner that has counted nothing yet, and of one that has not begun since a crash.
    if (/no such table|readonly database/.test(String(error))) return false;
    throw error;
  } finally {
    db.close();
  }
}
