/**
 * What an isolate has one of: its configuration, its caller, and the names of its policies.
 *
 * Made from the environment at first use, so that importing the library asks for nothing.
 */
import { env as environment } from "cloudflare:workers";
import { MisuseError } from "../limit/misuse.ts";
import type { Policy } from "../limit/policy.ts";
import { type LimiterConfig, parseLimiterConfig } from "../limiter-config.ts";
import { type Bindings, requireBindings, requireRpc } from "../protocol/bindings.ts";
import { WORKERS } from "../runtime.ts";
import { Caller } from "./caller.ts";
import { failureReporter } from "./failure-report.ts";
import { Memberships } from "./memberships.ts";

const env = environment as unknown as Bindings;

let config: LimiterConfig | undefined;
let caller: Caller | undefined;
let memberships: Memberships | undefined;
/** Names may be made in requests, too, such as one for each tenant. */
const MAX_CLAIMS = 10_000;
const claims = new Map<string, { description: string; functions: readonly unknown[] }>();
let hasStarted = false;

/** Where in code a policy comes from. */
export interface Origin {
  maker: "rateLimit" | "limiter";
  /** Has it a name of its own, and not the default? */
  isNamed: boolean;
  /** Those that are part of it. */
  functions?: readonly unknown[];
}

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
  if (env.TURNPIKE_MEMBERSHIP) memberships ??= new Memberships(env.TURNPIKE_MEMBERSHIP, WORKERS);
  return memberships;
}

/**
 * Takes note of a policy made in code, whose counters go by its name.
 *
 * An app may make its limiters anew in each request: one with the same options and the same text of
 * its functions is the same limiter then. At start each is made once, so there every function is
 * another, and so are two limiters without a name.
 *
 * @throws {MisuseError} if another policy has its name: the two would share their counters
 */
export function claimName(policy: Policy, { maker, isNamed, functions = [] }: Origin): void {
  const { name } = policy;
  const description = JSON.stringify([policy, maker, ...functions.map(String)]);
  const known = claims.get(name);
  if (known) {
    const isSame = known.description === description;
    const isAnother = known.functions.some((each, at) => each !== functions[at]);
    if (!isSame || (isAnother && isStarting())) {
      throw new MisuseError("name", "must be different for each policy", name);
    }
    if (!isNamed && isStarting()) {
      throw new MisuseError("name", "must be given to tell two limiters apart", undefined);
    }
  }
  if (claims.size >= MAX_CLAIMS) claims.clear();
  claims.set(name, { description, functions });
}

/** Is the Worker still being loaded? The runtime gives no random numbers then. */
function isStarting(): boolean {
  if (hasStarted) return false;
  try {
    crypto.randomUUID();
    hasStarted = true;
    return false;
  } catch {
    return true;
  }
}

function newCaller(): Caller {
  requireRpc(Cloudflare.compatibilityFlags.rpc !== false);
  requireBindings(env);
  const { TURNPIKE_OWNERS: owners, TURNPIKE_MEMBERSHIP: membership } = env;
  return new Caller({
    owners,
    runtime: WORKERS,
    reportFailure: membership && failureReporter(membership, WORKERS),
    ...isolateConfig(),
  });
}
