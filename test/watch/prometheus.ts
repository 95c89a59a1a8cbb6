/** A real Prometheus: the one of the machine, or Debian's package, unpacked into a folder. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

export interface Programs {
  prometheus: string;
  promtool: string;
}

const DOWNLOAD_MS = 60_000;

/** Finds the programs, or fetches them into a folder; undefined where neither is possible. */
export function findPrometheus(cwd: string): Programs | undefined {
  const isHere = !spawnSync("promtool", ["--version"]).error;
  if (isHere) return { prometheus: "prometheus", promtool: "promtool" };
  spawnSync("apt-get", ["download", "prometheus"], { cwd, timeout: DOWNLOAD_MS });
  const [packed] = readdirSync(cwd).filter((name) => name.endsWith(".deb"));
  if (packed) spawnSync("dpkg-deb", ["-x", packed, "."], { cwd });
  const [prometheus = "", promtool = ""] = ["prometheus", "promtool"].map((name) =>
    join(cwd, "usr/bin", name),
  );
  return existsSync(promtool) ? { prometheus, promtool } : undefined;
}

/** Scrapes a Turnpike once a second until it is stopped. */
export class Scraper {
  readonly #process: ChildProcess;
  readonly #url: string;

  private constructor(process: ChildProcess, url: string) {
    this.#process = process;
    this.#url = url;
  }

  /** @param folder where it keeps its files */
  static async start(
    { prometheus }: Programs,
    folder: string,
    target: URL,
    token: string,
  ): Promise<Scraper> {
    const config = join(folder, "prometheus.yml");
    writeFileSync(
      config,
      JSON.stringify({
        global: { scrape_interval: "1s" },
        scrape_configs: [
          {
            job_name: "turnpike",
            metrics_path: "/_turnpike/metrics",
            authorization: { credentials: token },
            static_configs: [{ targets: [target.host] }],
          },
        ],
      }),
    );
    const address = `127.0.0.1:${await freePort()}`;
    const options = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, "scrapes")}`,
      `--web.listen-address=${address}`,
    ];
    return new Scraper(spawn(prometheus, options, { stdio: "ignore" }), `http://${address}`);
  }

  /** Returns the value of a query that has one; undefined if it has none yet. */
  async query(query: string): Promise<number | undefined> {
    const url = `${this.#url}/api/v1/query?query=${encodeURIComponent(query)}`;
    const answer = await fetch(url).catch(() => undefined);
    if (!answer?.ok) return undefined;
    const { data } = (await answer.json()) as { data: { result: { value: [number, string] }[] } };
    return data.result[0] && Number(data.result[0].value[1]);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill();
    await ended;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
