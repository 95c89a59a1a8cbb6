/** What several test files need and the first of them makes: a bundle, an unpacked browser. */
import { mkdirSync, rmdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Runs `make` while no other process runs it.
 *
 * @param lock the path of a folder that exists as long
 */
export async function alone<Result>(lock: string, make: () => Promise<Result>): Promise<Result> {
  while (!isMade(lock)) await sleep(20);
  try {
    return await make();
  } finally {
    rmdirSync(lock);
  }
}

function isMade(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
