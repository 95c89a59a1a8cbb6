/** The deployed Worker in a workerd with nothing in front. */
import { join } from "node:path";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdOptions, type WorkerdServer } from "../bench/workerd-server.ts";

const WORKER = join(import.meta.dirname, "../../src/worker.ts");
/** Gives it the objects that it has when deployed; else it has only owners. */
export const ALL_OBJECTS = { hasMembership: true, hasEvents: true };

export async function startGate(
  vars: Record<string, string>,
  options: Partial<WorkerdOptions> = {},
): Promise<WorkerdServer> {
  return startWorkerd({
    script: await bundleFile(WORKER),
    vars: { DEADLINE: "10s", ...vars },
    hasObjects: true,
    ...options,
  });
}
