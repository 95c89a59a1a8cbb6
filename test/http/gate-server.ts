/** The deployed Worker in a workerd with nothing in front. */
import { build } from "esbuild";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

export async function startGate(vars: Record<string, string>): Promise<WorkerdServer> {
  const { outputFiles } = await build({
    entryPoints: ["src/worker.ts"],
    bundle: true,
    write: false,
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*"],
    loader: { ".html": "text" },
  });
  return startWorkerd({
    script: outputFiles[0]?.text ?? "",
    vars: { DEADLINE: "10s", ...vars },
    hasObjects: true,
  });
}
