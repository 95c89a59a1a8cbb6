/** A site behind Turnpike, in a workerd that can be killed and started again where it was. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";
import { addressOf } from "../bench/workloads.ts";
import { type Fault, STARTED } from "./fault.ts";

/** Of what each key may have here, unless said otherwise. */
export const LIMIT = 5;
export const OWNERS = ["weur/0", "weur/1", "weur/2", "weur/3"] as const;
const TOKEN = "faults";

export class Site {
  /** What the Worker has written to its console. */
  output = "";
  readonly #folder = mkdtempSync(join(tmpdir(), "turnpike-faults-"));
  readonly #script: string;
  readonly #vars: Record<string, string>;
  readonly #isInspected: boolean;
  #server: WorkerdServer | undefined;
  #port = 0;

  private constructor(script: string, vars: Record<string, string>, isInspected: boolean) {
    this.#script = script;
    this.#isInspected = isInspected;
    this.#vars = { HIGH_WATER: "0", OWNERS: String(OWNERS.length), TOKEN, ...vars };
  }

  static async open(vars: Record<string, string> = {}, isInspected = false): Promise<Site> {
    const script = await bundleFile(join(import.meta.dirname, "faulty-worker.ts"));
    const policies = JSON.stringify([{ limit: LIMIT, window: "366d" }]);
    const site = new Site(script, { POLICIES: policies, ...vars }, isInspected);
    await site.start();
    return site;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  get server(): WorkerdServer {
    if (!this.#server) throw new Error("the site is not up");
    return this.#server;
  }

  /** Starts it, after the first time at the same address. */
  async start(): Promise<void> {
    this.#server = await startWorkerd({
      script: this.#script,
      vars: this.#vars,
      hasObjects: true,
      hasMembership: true,
      folder: this.#folder,
      port: this.#port,
      isInspected: this.#isInspected,
      onOutput: (text) => {
        this.output += text;
      },
    });
    this.#port = Number(new URL(this.#server.url).port);
  }

  /** Ends it as a power cut would, but for what the operating system has yet to write. */
  async kill(): Promise<void> {
    await this.server.kill();
  }

  async close(): Promise<void> {
    await this.server.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Has an owner fail, or be well again. */
  async fail(owner: string, fault: Fault): Promise<void> {
    const body = JSON.stringify(fault);
    await fetch(`${this.url}faults/${encodeURIComponent(owner)}`, { method: "PUT", body });
  }

  async failAll(fault: Fault): Promise<void> {
    await Promise.all(OWNERS.map((owner) => this.fail(owner, fault)));
  }

  /** How often an owner's object was made. */
  startsOf(owner: string): number {
    return this.output.split(`${STARTED} ${owner}\n`).length - 1;
  }

  /** The owner of each key that stands for an address. */
  async ownersOf(keys: readonly number[]): Promise<string[]> {
    type Explained = { explanations: { policies: { owner: string }[] }[] };
    const checks = keys.map((key) => ({ key: addressOf(key), policy: "default" }));
    const { explanations } = await this.call<Explained>("POST", "explain", { checks });
    return explanations.map(({ policies }) => policies[0]?.owner ?? "");
  }

  /** Calls the API; returns what it answers. */
  async call<Body>(method: string, path: string, body?: unknown): Promise<Body> {
    const response = await fetch(`${this.url}_turnpike/v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${TOKEN}` },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} was answered with ${response.status}: ${text}`);
    return (text ? JSON.parse(text) : undefined) as Body;
  }
}
