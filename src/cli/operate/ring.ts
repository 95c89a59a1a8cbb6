/** `turnpike ring`: the owners of each region. */
import { Command } from "commander";
import { tableOf } from "../text.ts";
import type { Call } from "./client.ts";
import { answered, type WorkerOptions, withWorker } from "./worker-command.ts";

interface Ring {
  regions: ({
    region: string;
    version: number;
    settling: boolean;
    owners: { name: string; keys: number | null; checksPerSecond: number | null }[];
  } | null)[];
}

export function ringCommand(): Command {
  const ring = withWorker(
    new Command("ring").description("shows which owners each region has"),
  ).action(async (options: WorkerOptions) => {
    await answered(options, { method: "GET", path: "/ring" }, ringText);
  });
  ring.addCommand(
    new Command("add")
      .description("adds an owner to a region")
      .argument("<region>", "such as weur")
      .action(async (region: string, _, command: Command) => {
        const options: WorkerOptions = command.optsWithGlobals();
        const call: Call = { method: "POST", path: "/ring/owners", body: { region } };
        await answered(options, call, ringText);
      }),
  );
  ring.addCommand(
    new Command("remove")
      .description("removes an owner once what it counts has moved")
      .argument("<owner>", "such as weur/3")
      .action(async (owner: string, _, command: Command) => {
        const options: WorkerOptions = command.optsWithGlobals();
        const path = `/ring/owners/${encodeURIComponent(owner)}`;
        await answered(options, { method: "DELETE", path }, ringText);
      }),
  );
  return ring;
}

function ringText({ regions }: Ring): string {
  const rows = regions.flatMap((region) => {
    const version = region && `${region.version}${region.settling ? ", settling" : ""}`;
    return (region?.owners ?? []).map(({ name, keys, checksPerSecond }) => [
      ...[region?.region, version, name, keys ?? "?", checksPerSecond ?? "?"],
    ]);
  });
  return tableOf(["region", "ring version", "owner", "keys", "checks/s"], rows);
}
