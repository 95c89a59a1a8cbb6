/**
 * Says which live policies a deployment leaves in force. They stay until an operator ends them:
 * otherwise a deployment of something else would undo what was changed at night.
 */
import {
  differences,
  type InForce,
  policiesInForce,
  type Written,
} from "./operate/written-policies.ts";
import type { UploadedBinding } from "./upload.ts";

/**
 * Asks the deployed Worker.
 *
 * @param url of the Worker; undefined if it is not known
 * @param deployed the bindings now: without a token among them, nobody can change policies
 * @param written the policies of the deployment
 * @returns whether live policies are in force, and a sentence for each thing to say of them
 */
export async function livePolicies(
  url: string | undefined,
  deployed: readonly UploadedBinding[],
  written: unknown,
): Promise<{ isLive: boolean; notes: string[] }> {
  if (!url) {
    const isOpen = deployed.some(({ name }) => name === "TOKEN");
    const unknown =
      "if live policies are in force, they stay so, which is not known here: set TURNPIKE_URL and TURNPIKE_TOKEN";
    return { isLive: false, notes: isOpen ? [unknown] : [] };
  }
  let inForce: InForce;
  try {
    inForce = await policiesInForce(url);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { isLive: false, notes: [`whether live policies are in force is not known: ${why}`] };
  }
  const { policies, source, version, by, at } = inForce;
  if (source !== "live") return { isLive: false, notes: [] };
  const stays = `live policies stay in force, version ${version} by ${by ?? "somebody"} of ${at}`;
  const changes = differences(policies, written as Written[]).map(
    (change) => `not in force while policies are live: ${change}`,
  );
  return {
    isLive: true,
    notes: [`${stays}; npx turnpike policies rollback 0 ends them`, ...changes],
  };
}
