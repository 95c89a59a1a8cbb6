/** What must hold once all is calm again: the change has settled and left nothing anywhere. */

import type { CounterTable } from "../../src/counters/counter-table.ts";
import { INEXACT } from "../../src/counters/table-name.ts";
import { Checkpoint } from "../../src/owner/checkpoint/checkpoint.ts";
import {
  CRASH_MARK,
  decodeHead,
  decodeSections,
  HEAD,
  LOG,
  NEW_HEAD,
} from "../../src/owner/checkpoint/format.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import { Ring } from "../../src/ring/ring.ts";
import { MemoryStorage } from "../owner/memory-storage.ts";
import type { Disk } from "./disk.ts";
import { REGION } from "./hosts.ts";
import type { Story } from "./story.ts";
import type { World } from "./world.ts";

/** What stays on disk although nothing is counted: rings, and live policies. */
const KEPT = /^(?:ring|members|live|policies(?:\/\d+)?)$/;

export async function checkCalm(world: World, story: Story): Promise<void> {
  const { ledger, objects, members } = world;
  if (!members) return ledger.violated("nobody has asked for the ring");
  const { record, pending, down } = members;
  if (record.previous || pending.length > 0 || down.length > 0) {
    return ledger.violated(`the change does not settle: ${JSON.stringify(members)}`);
  }
  for (const [name, disk] of objects.disks) {
    if (name === REGION) continue;
    if (record.owners.includes(name)) await checkOwner(world, name, disk, record);
    else if (disk.entries.size > 0) {
      const left = [...disk.entries.keys()].join(", ");
      ledger.violated(`${name} has left the ring, and ${left} is on its disk`);
    }
  }
  if (!story.isFaulty) checkSums(world, story);
}

/** What must hold once all counts have expired: no owner has any of them on disk. */
export function checkEmpty({ ledger, objects }: World): void {
  for (const [name, { entries }] of objects.disks) {
    const keys = [...entries.keys()].filter((key) => !KEPT.test(key));
    const log = keys.filter((key) => key.startsWith(LOG));
    const sections = log.flatMap((key) => decodeSections(entries.get(key))?.sections ?? []);
    // Lost counts are remembered for as long as they can matter under any policy.
    if (keys.length === 0 || sections.some(({ table }) => table === INEXACT)) continue;
    const { lostMs, crashedMs } = decodeHead(entries.get(HEAD)) ?? NEW_HEAD;
    // So are crashes. After another crash, its mark is there until the alarm.
    const isNothing = keys.every((key) => key === HEAD || key === CRASH_MARK);
    if (isNothing && lostMs + crashedMs > 0) continue;
    ledger.violated(`${name} keeps ${keys.join(", ")}`);
  }
}

async function checkOwner(
  { ledger }: World,
  name: string,
  { entries }: Disk,
  { version, owners }: RingRecord,
): Promise<void> {
  const known = entries.get("ring") as RingRecord | undefined;
  if (known?.version !== version || known.previous) {
    ledger.violated(`${name} knows of the ring ${JSON.stringify(known)}, not of ${version}`);
  }
  const ring = new Ring(owners);
  const tables = new Map<string, CounterTable>();
  const storage = new MemoryStorage();
  for (const [key, value] of entries) storage.entries.set(key, value);
  await new Checkpoint(storage).read(tables);
  for (const [table, { kind, segments, size }] of tables) {
    if (kind === "imported" && size > 0) ledger.violated(`${name} keeps ${table}`);
    for (const segment of segments) {
      segment.visit((key) => {
        if (ring.ownerOf(key) === name) return false;
        ledger.violated(`${name} keeps a key of ${ring.ownerOf(key)} in ${table}`);
        return true;
      });
    }
  }
}

/** If nothing failed, exactly the limit has passed: each key was asked for more. */
function checkSums({ ledger }: World, { subjects }: Story): void {
  for (const subject of subjects) {
    const accounts = subject.policies.map(({ name }) => ledger.account(subject.hash, name));
    // The ledger does not know how much a reset forgot or a refund gave back.
    if (ledger.isBlocked(subject)) continue;
    if (accounts.some(({ resets, returned }) => resets + returned > 0)) continue;
    const most = Math.min(...accounts.map(({ limit }) => limit));
    for (const { passed } of accounts) {
      if (passed !== most) ledger.violated(`${passed} of ${subject.key} passed, not ${most}`);
    }
  }
}
