/** The deployed Worker in a workerd with nothing in front. */
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

/**
 * @param folder where its storage stays; left out: it goes with the server
 * @param onOutput gets what the Worker logs
 */
export async function startGate(
  vars: Record<string, string>,
  folder?: string,
  onOutput?: (text: string) => void,
): Promise<WorkerdServer> {
  return startWorkerd({
    script: await bundleFile("src/worker.ts"),
    vars: { DEADLINE: "10s", ...vars },
    hasObjects: true,
    ...(folder && { folder }),
    ...(onOutput && { onOutput }),
  });
}
