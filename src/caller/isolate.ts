/**
 * What an isolate has one of: its configuration, its caller, and the names of its policies.
 *
 * Made from the environment at first use, so that importing the library asks for nothing.
 */
import { env as environment } from "cloudflare:workers";
import { type Bindings, requireBindings, requireRpc } from "../bindings.ts";
import { type LimiterConfig, parseLimiterConfig } from "../config.ts";
import { MisuseError } from "../limit/misuse.ts";
import type { Policy } from "../limit/policy.ts";
import { Caller } from "./caller.ts";
import { Memberships } from "./memberships.ts";
import { RUNTIME } from "./platform.ts";

const env = environment as unknown as Bindings;

let config: LimiterConfig | undefined;
let caller: Caller | undefined;
let memberships: Memberships | undefined;
const policies = new Map<string, string>();

/** @throws {MisuseError} naming the variable, the rule and the value */
export function isolateConfig(): LimiterConfig {
  config ??= parseLimiterConfig(env);
  return config;
}

/** @throws {MisuseError} if a binding is missing or of another kind, or objects can't be called */
export function isolateCaller(): Caller {
  caller ??= newCaller();
  return caller;
}

/** The membership objects; undefined without the binding `TURNPIKE_MEMBERSHIP`, and then rings never change. */
export function isolateMemberships(): Memberships | undefined {
  if (env.TURNPIKE_MEMBERSHIP) memberships ??= new Memberships(env.TURNPIKE_MEMBERSHIP, RUNTIME);
  return memberships;
}

/**
 * Takes note of a policy made in code.
 *
 * @param made what made it, with the text of the functions that are part of it
 * @throws {MisuseError} if another one has its name: the two would share their counters
 */
export function claimName(policy: Policy, ...made: unknown[]): void {
  const description = JSON.stringify([policy, ...made.map(String)]);
  const known = policies.get(policy.name);
  if (known !== undefined && known !== description) {
    throw new MisuseError("name", "must be different for each policy", policy.name);
  }
  policies.set(policy.name, description);
}

function newCaller(): Caller {
  requireRpc(Cloudflare.compatibilityFlags.rpc !== false);
  requireBindings(env);
  return new Caller({
    owners: env.TURNPIKE_OWNERS,
    platform: RUNTIME,
    reportFailure: (owner) => isolateMemberships()?.reportFailure(owner),
    ...isolateConfig(),
  });
}
