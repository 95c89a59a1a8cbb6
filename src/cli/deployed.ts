/** Reads what is deployed now, if wrangler may see it. */

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { parseJson } from "../limit/json.ts";
import type { UploadedBinding } from "./upload.ts";

const TIMEOUT_MS = 15_000;

interface Deployment {
  versions: { version_id: string; percentage: number }[];
}

/**
 * Returns the bindings of the version that gets most requests; undefined if nothing is deployed, or
 * if nobody is logged in.
 *
 * @param worker the Worker's name, which includes the environment
 * @param args those of `wrangler deploy`, which say whose account it is
 */
export function readDeployed(
  worker: string,
  args: readonly string[],
): UploadedBinding[] | undefined {
  const same = [...accountArgs(args), "--name", worker, "--json"];
  const deployment = ask<Deployment>(["deployments", "status", ...same]);
  const versions = deployment?.versions.toSorted((a, b) => b.percentage - a.percentage);
  if (!versions?.[0]) return undefined;
  const version = ask<{ resources: { bindings: UploadedBinding[] } }>([
    "versions",
    "view",
    versions[0].version_id,
    ...same,
  ]);
  return version?.resources.bindings;
}

function accountArgs(args: readonly string[]): string[] {
  const { values } = parseArgs({
    args: [...args],
    strict: false,
    options: {
      config: { type: "string", short: "c" },
      cwd: { type: "string" },
      profile: { type: "string" },
    },
  });
  return Object.entries(values).flatMap(([name, value]) =>
    /^(?:config|cwd|profile)$/.test(name) && typeof value === "string" ? [`--${name}`, value] : [],
  );
}

/** Asks wrangler; undefined if it has no answer. Without a terminal, wrangler never asks back. */
function ask<Answer>(command: readonly string[]): Answer | undefined {
  const { status, stdout } = spawnSync("wrangler", command, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    timeout: TIMEOUT_MS,
  });
  return status === 0 ? (parseJson(stdout) as Answer | undefined) : undefined;
}
