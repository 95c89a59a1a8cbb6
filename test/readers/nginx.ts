/** nginx as installed, with and without a server behind it; where there is none, nobody is asked. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, type Reader, ROUTE_HEADER } from "./reader.ts";

/** The program; `NGINX` names another. */
const PROGRAM = process.env.NGINX ?? "nginx";

const LOCATIONS = [
  ["= /login", "/login"],
  ["= /api", "/api/*"],
  ["/api/", "/api/*"],
  ["~* ^/users/[^/]+$", "/users/:id"],
  ["~* ^/users/[^/]+/mail$", "/users/:id/mail"],
  ["~* ^/files/.*\\.pdf$", "/Files/*.pdf"],
]
  .map(([where, route]) => `location ${where} { add_header ${ROUTE_HEADER} ${route}; return 204; }`)
  .join("\n");

const DIRECTORIES = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
  .map((kind) => `${kind}_temp_path ${kind};`)
  .join("\n");

/**
 * Starts one nginx, and returns a reader for each way in which it stands before a server.
 *
 * @param behind servers that it passes requests on to
 */
export async function nginx(behind: readonly Reader[]): Promise<Reader[]> {
  if (spawnSync(PROGRAM, ["-v"]).error) {
    console.warn(`${PROGRAM} is not installed, so it is not asked how it reads paths`);
    return [];
  }
  const servers: [name: string, body: string][] = [
    ["nginx", LOCATIONS],
    ["nginx, slashes kept", `merge_slashes off;\n${LOCATIONS}`],
    ...behind.map(({ name, port }): [string, string] => [
      `nginx that writes paths anew, then ${name}`,
      `location / { proxy_pass http://127.0.0.1:${port}/; proxy_http_version 1.1; proxy_set_header Connection ""; }`,
    ]),
  ];
  const directory = await mkdtemp(join(tmpdir(), "turnpike-nginx-"));
  const ports = await freePorts(servers.length);
  const blocks = servers.map(
    ([, body], at) => `server { listen 127.0.0.1:${ports[at]};\n${body}\n}`,
  );
  await writeFile(
    join(directory, "nginx.conf"),
    `daemon off; pid nginx.pid; error_log stderr crit; worker_processes 1;
events { worker_connections 512; }
http { access_log off; keepalive_requests 1000000000; ${DIRECTORIES}
${blocks.join("\n")}
}`,
  );
  const child = spawn(PROGRAM, ["-p", directory, "-c", "nginx.conf"], { stdio: "ignore" });
  await listening(child, ports);
  let open = servers.length;
  return servers.map(([name], at) => ({
    name,
    port: ports[at] as number,
    read: (targets) => ask(ports[at] as number, targets),
    close: async () => {
      if (--open > 0) return;
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(directory, { recursive: true });
    },
  }));
}

async function freePorts(count: number): Promise<number[]> {
  const holders = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(holders.map((holder) => once(holder, "listening")));
  const ports = holders.map((holder) => (holder.address() as AddressInfo).port);
  await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))));
  return ports;
}

async function listening(child: ChildProcess, ports: readonly number[]): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
    try {
      await ask(ports[0] as number, ["/"]);
      return;
    } catch {
      await sleep(20);
    }
  }
}
