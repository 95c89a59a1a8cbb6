/** The API of a really running Turnpike, as the tests of ring changes use it. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { RingStatus } from "../../src/protocol/rpc.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";

const TOKEN = "secret";
/** The most checks that one call takes. */
const BATCH = 1_000;
export const VARS = { TOKEN };

export interface Decided {
  allowed: boolean;
  source: string;
  exact: boolean;
}

export class RingClient {
  readonly #server: WorkerdServer;
  readonly #policy: object;

  /** @param policy what every check is asked under, as the API takes it */
  constructor(server: WorkerdServer, policy: object) {
    this.#server = server;
    this.#policy = policy;
  }

  async call<Body>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Body> {
    const response = await fetch(`${this.#server.url}_turnpike/v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${TOKEN}`, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    expect(response.status, text).toBeLessThan(300);
    return (text === "" ? undefined : JSON.parse(text)) as Body;
  }

  async check(keys: readonly string[]): Promise<Decided[]> {
    const each = await this.#batches<{ decisions: Decided[] }>("check", keys);
    return each.flatMap(({ decisions }) => decisions);
  }

  /** The owner of each key, as the owners themselves see it. */
  async ownersOf(keys: readonly string[]): Promise<string[]> {
    type Explained = { explanations: { policies: { owner: string }[] }[] };
    const each = await this.#batches<Explained>("explain", keys);
    return each.flatMap(({ explanations }) =>
      explanations.map(({ policies }) => policies[0]?.owner ?? ""),
    );
  }

  async ring(): Promise<RingStatus> {
    const { regions } = await this.call<{ regions: RingStatus[] }>("GET", "ring");
    return regions[0] as RingStatus;
  }

  async settled(): Promise<RingStatus> {
    for (;;) {
      const status = await this.ring();
      if (!status.settling) return status;
      await sleep(20);
    }
  }

  async add(): Promise<void> {
    await this.call("POST", "ring/owners", { region: "weur" });
  }

  async remove(name: string): Promise<void> {
    await this.call("DELETE", `ring/owners/${encodeURIComponent(name)}`);
  }

  async #batches<Body>(path: string, keys: readonly string[]): Promise<Body[]> {
    const bodies: Body[] = [];
    for (let at = 0; at < keys.length; at += BATCH) {
      const checks = keys.slice(at, at + BATCH).map((key) => ({ key, ...this.#policy }));
      bodies.push(await this.call<Body>("POST", path, { checks }));
    }
    return bodies;
  }
}
