/**
 * What an isolate has one of: its configuration, its caller, and the names of its policies.
 *
 * Reads the environment at first use, so that an import of the library requires nothing.
 */
import { MisuseError } from "../limit/misuse.ts";
import { OTHER_NAME } from "../limit/policies.ts";
import type { Policy } from "../limit/policy.ts";
import { type LimiterConfig, parseLimiterConfig } from "../limiter-config.ts";
import { type Bindings, requireBindings, requireRpc } from "../protocol/bindings.ts";
import type { CounterNamespace } from "../protocol/rpc.ts";
import { steady, WORKERS } from "../runtime.ts";
import { Caller } from "./caller.ts";
import { reportFailure } from "./failure-report.ts";
import { MembershipClient } from "./membership-client.ts";
import type { Observer } from "./question.ts";
import { isolateRouter } from "./router.ts";

/** What the Workers runtime gives to modules. */
interface Surroundings {
  /** Variables and bindings. */
  env: object;
  /** What the Worker exports. */
  exports: object;
}

type Through = (owners: CounterNamespace) => CounterNamespace;

/** Undefined outside a Worker. */
let worker: Surroundings | undefined;
let config: LimiterConfig | undefined;
let bindings: Bindings | undefined;
let caller: Caller | undefined;
let memberships: MembershipClient | undefined;
/** The most names remembered. An app may make them in requests, such as one for each tenant. */
const MAX_CLAIMS = 10_000;
const claims = new Map<
  string,
  {
    policy: Policy;
    description: string;
    functions: readonly unknown[];
    isOfStart: boolean;
    /** Whether another policy may take the name. */
    isFree: boolean;
  }
>();
let hasStarted = false;

/** What made a policy in code, and from what. */
export interface Origin {
  maker: "rateLimit" | "limiter";
  /** Whether it has a name of its own, rather than the default. */
  isNamed: boolean;
  /** Functions that stand in for its fields. */
  functions?: readonly unknown[];
}

export function runInWorker(given: Surroundings): void {
  worker = given;
}

/** @throws {MisuseError} naming the variable, the rule and the value */
export function isolateConfig(): LimiterConfig {
  config ??= parseLimiterConfig(worker?.env ?? {});
  return config;
}

/**
 * Returns the isolate's caller. Do not keep it: a test kit may replace it.
 *
 * @param observer told what the caller does; ignored after the first call, as `through` is
 * @param through stands between that caller and its owners
 * @throws {MisuseError} if a binding is missing or of another kind, or objects can't be called
 */
export function isolateCaller(observer?: Observer, through?: Through): Caller {
  caller ??= newCaller(requireWorker(), observer, through);
  return caller;
}

/** Throws as a limiter is made if it could not count. Outside a Worker, only its calls throw. */
export function requireCaller(): void {
  if (worker) isolateCaller();
}

/** Makes all limiters count by another caller. Returns the previous one. */
export function replaceCaller(next: Caller | undefined): Caller | undefined {
  const before = caller;
  caller = next;
  return before;
}

/**
 * Returns the client of the membership objects; undefined without the binding
 * `TURNPIKE_MEMBERSHIP`. Rings never change then.
 */
export function isolateMembershipClient(): MembershipClient | undefined {
  const { TURNPIKE_MEMBERSHIP: membership } = isolateBindings();
  if (membership) memberships ??= new MembershipClient(membership, WORKERS);
  return memberships;
}

/**
 * Registers a policy made in code, whose counters go by its name.
 *
 * An app may make its limiters again in each request. A limiter with the same options and the same
 * text of its functions is then the same one. At start each is made once. So at start, two limiters
 * with different functions, or without a name, are different.
 *
 * @throws {MisuseError} if another policy has this name: the two would share their counters
 */
export function claimName(policy: Policy, { maker, isNamed, functions = [] }: Origin): void {
  const { name } = policy;
  const description = JSON.stringify([policy, maker, ...functions.map(String)]);
  const known = claims.get(name);
  if (known && !known.isFree) {
    const isSame = known.description === description;
    const isAnother = known.functions.some((each, at) => each !== functions[at]);
    if (!isSame || (isAnother && isStarting())) {
      throw new MisuseError("name", OTHER_NAME, name);
    }
    if (!isNamed && isStarting()) {
      throw new MisuseError("name", "must be given to tell two limiters apart", undefined);
    }
  }
  if (claims.size >= MAX_CLAIMS) {
    // Policies made as the Worker was loaded stay, since a service binding may name them.
    for (const [each, { isOfStart }] of claims) if (!isOfStart) claims.delete(each);
  }
  claims.set(name, { policy, description, functions, isOfStart: isStarting(), isFree: false });
}

/** Lets other policies take the names. The policies that have them keep counting. */
export function freeNames(): void {
  for (const claim of claims.values()) claim.isFree = true;
}

/** Returns the policies that this isolate's code has made. */
export function claimedPolicies(): Policy[] {
  return Array.from(claims.values(), ({ policy }) => policy);
}

/** Returns true while the Worker is being loaded: the runtime gives no random numbers then. */
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

function requireWorker(): Surroundings {
  if (worker) return worker;
  throw new Error(
    "turnpike counts in a Cloudflare Worker only: run wrangler dev, or in a test installTestKit() of turnpike/testing",
  );
}

function newCaller({ env }: Surroundings, observer?: Observer, through?: Through): Caller {
  const { rpc, enable_ctx_exports } = Cloudflare.compatibilityFlags;
  requireRpc(rpc !== false);
  // What the Worker exports can be reached only after its start.
  const mayExport = enable_ctx_exports && !("TURNPIKE_OWNERS" in env) && isStarting();
  if (!mayExport) isolateBindings();
  const owners: CounterNamespace = {
    // Each call takes a stub of its own.
    getByName(owner, options) {
      observer?.called(owner);
      return isolateBindings().TURNPIKE_OWNERS.getByName(owner, options);
    },
  };
  return new Caller({
    owners: through?.(owners) ?? owners,
    runtime: steady(WORKERS),
    reportFailure: (owner) => {
      const { TURNPIKE_MEMBERSHIP: membership } = isolateBindings();
      if (membership) reportFailure(membership, WORKERS, owner);
    },
    router: isolateRouter(isolateConfig().ownersPerRegion),
    observer,
    ...isolateConfig(),
  });
}

function isolateBindings(): Bindings {
  if (bindings) return bindings;
  const { env, exports } = requireWorker();
  bindings = requireBindings(env, exports);
  return bindings;
}
