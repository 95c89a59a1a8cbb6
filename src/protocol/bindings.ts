/**
 * The bindings that Turnpike needs of its Worker, and what they must be bound to. A Worker that
 * exports the classes needs no bindings from `EXPORTS_DATE` on. Other bindings do not matter.
 */
import { MisuseError } from "../limit/misuse.ts";
import { logSeldom } from "../log.ts";
import type { MembershipRpc, ObjectNamespace, OwnerRpc } from "./rpc.ts";

type BoundNamespace<Rpc> = ObjectNamespace<Rpc> & Pick<DurableObjectNamespace, "idFromName">;

export interface Bindings {
  TURNPIKE_OWNERS: BoundNamespace<OwnerRpc>;
  /** Absent if the rings never change. */
  TURNPIKE_MEMBERSHIP?: BoundNamespace<MembershipRpc>;
}

export type BindingName = keyof Bindings;

/** A class whose objects a Worker binds, or else exports. */
export interface BoundClass {
  className: string;
  /** The entry point of the package that exports the class. */
  entryPoint: string;
}

/** The class of each binding, and the binding's former name. */
export const BINDINGS = {
  TURNPIKE_OWNERS: { className: "RateLimiter", formerName: "RATE_LIMITER" },
  TURNPIKE_MEMBERSHIP: { className: "Membership", formerName: "MEMBERSHIP" },
} as const satisfies Record<BindingName, { className: string; formerName: string }>;

/** What a binding must be, as the rest of a sentence. */
export function bindingRule(name: BindingName): string {
  return classRule(BINDINGS[name].className);
}

export function classRule(className: string): string {
  return `must be a Durable Object binding with the class_name ${className}`;
}

/** From this compatibility date on, a Worker reaches the classes that it exports. */
const EXPORTS_DATE = "2025-11-17";

/**
 * Returns a Worker's bindings. For a missing one, returns the class that the Worker exports.
 *
 * @param exports what the Worker exports; nothing before `EXPORTS_DATE`
 */
export function bindingsOf(env: object, exports: object): Bindings {
  const bound = (name: BindingName): unknown => {
    const exported: unknown = Reflect.get(exports, BINDINGS[name].className);
    return Reflect.get(env, name) ?? (isNamespace(exported) ? exported : undefined);
  };
  const TURNPIKE_OWNERS = bound("TURNPIKE_OWNERS");
  const TURNPIKE_MEMBERSHIP = bound("TURNPIKE_MEMBERSHIP");
  return { TURNPIKE_OWNERS, TURNPIKE_MEMBERSHIP } as Bindings;
}

/** From this compatibility date on, others can call an object's methods. */
const RPC_DATE = "2024-04-03";

/**
 * Makes sure that a Worker's objects can be called.
 *
 * @param date the compatibility date, if it is known
 * @throws {MisuseError} if they can't
 */
export function requireRpc(hasRpc: boolean, date?: string): void {
  if (hasRpc || (date !== undefined && date >= RPC_DATE)) return;
  const rule = `must be ${RPC_DATE} or later, or compatibility_flags must have "rpc"`;
  throw new MisuseError("compatibility_date", rule, date ?? "an earlier one");
}

/**
 * Makes sure that the bindings of an environment are Durable Objects, each of its own class.
 *
 * A runtime says what kind a binding is, but not its class. It does show whether both have one
 * class: the same name then gives the same id.
 *
 * @param exports what the Worker exports; nothing before `EXPORTS_DATE`
 * @returns the bindings, as {@link bindingsOf} finds them
 * @throws {MisuseError} naming the binding, what it must be and what it is
 */
export function requireBindings(env: object, exports: object): Bindings {
  const found = bindingsOf(env, exports);
  const { TURNPIKE_OWNERS: owners, TURNPIKE_MEMBERSHIP: membership } = found;
  requireNamespace("TURNPIKE_OWNERS", owners, env, exports);
  if (membership === undefined) return found;
  requireNamespace("TURNPIKE_MEMBERSHIP", membership, env, exports);
  if (idIn(owners) === idIn(membership)) {
    const rule = `${bindingRule("TURNPIKE_MEMBERSHIP")}, and TURNPIKE_OWNERS one with RateLimiter`;
    throw new MisuseError("TURNPIKE_MEMBERSHIP", rule, "one class for both");
  }
  return found;
}

function requireNamespace(name: BindingName, value: unknown, env: object, exports: object): void {
  if (isNamespace(value)) return;
  const { className, formerName } = BINDINGS[name];
  const bound = { className, entryPoint: "turnpike" };
  if (value !== undefined) throw wrongKind(name, bound, value);
  if (!isNamespace(Reflect.get(env, formerName))) throw missing(name, bound, exports);
  const rule = `${bindingRule(name)} (rename ${formerName}; what it counted stays)`;
  throw new MisuseError(name, rule, value);
}

/** Returns the error for a binding that is no Durable Object. */
function wrongKind(binding: string, { className }: BoundClass, value: unknown): MisuseError {
  const kind = typeof value === "object" && value ? value.constructor.name : typeof value;
  return new MisuseError(binding, classRule(className), kind);
}

/** Returns the error for a class that is neither bound nor exported. It begins with what to do. */
function missing(binding: string, bound: BoundClass, exports: object): MisuseError {
  const { className, entryPoint } = bound;
  const code = `export { ${className} } from "${entryPoint}"`;
  const mend = `must be in the main module, and { "tag": "v1", "new_sqlite_classes": ["${className}"] } (or the next free tag) in the migrations of wrangler.jsonc`;
  if (Object.keys(exports).length > 0) return new MisuseError(code, mend, undefined);
  // The class may be there: under this date, a Worker does not see what it exports.
  const before = `${classRule(className)} before compatibility_date ${EXPORTS_DATE}; ${code} ${mend}`;
  return new MisuseError(binding, before, undefined);
}

/**
 * Returns the namespace of a class that only some Workers have: what is bound, or else the class
 * that the Worker exports.
 *
 * @throws {MisuseError} if there is neither, or the binding is of another kind
 */
export function extraNamespace<Rpc>(
  binding: string,
  bound: BoundClass,
  env: object,
  exports: object,
): ObjectNamespace<Rpc> {
  const found: unknown = Reflect.get(env, binding) ?? Reflect.get(exports, bound.className);
  if (isNamespace(found)) return found as ObjectNamespace<Rpc>;
  throw found === undefined ? missing(binding, bound, exports) : wrongKind(binding, bound, found);
}

/**
 * A service binding has a method of every name; a namespace has only its own. Among a Worker's
 * exports it is a function.
 */
function isNamespace(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const methods = value as Record<string, unknown>;
  const has = (method: string) => typeof methods[method] === "function";
  return has("idFromName") && has("getByName") && !has("noSuchMethod");
}

function idIn(namespace: Bindings[BindingName]): string | undefined {
  return namespace?.idFromName("any").toString();
}

/** Returns the name of the method that a call failed for, since its object has no such method. */
export function missingMethod(error: unknown): string | undefined {
  return /does not implement the method "(\w+)"/.exec(String(error))?.[1];
}

/** The methods that `Membership` has and `RateLimiter` lacks. The compiler keeps them complete. */
const MEMBERSHIP_METHODS: Record<Exclude<keyof MembershipRpc, keyof OwnerRpc>, true> = {
  ring: true,
  ringIfUsed: true,
  reportLoad: true,
  reportFailure: true,
  add: true,
  remove: true,
  policies: true,
  changePolicies: true,
  policiesHistory: true,
  adoptPolicies: true,
};

/**
 * Finds out whether a call failed because a binding's objects are of another class. If so, logs it
 * and returns what is wrong.
 *
 * @param error what the call threw. An error that the object met in a call of its own looks the
 *   same.
 */
export function wrongClass(error: unknown): string | undefined {
  const method = missingMethod(error);
  if (method === undefined) return undefined;
  const isMembership = Object.hasOwn(MEMBERSHIP_METHODS, method);
  const binding = isMembership ? "TURNPIKE_MEMBERSHIP" : "TURNPIKE_OWNERS";
  const detail = `${binding} ${bindingRule(binding)}, got one without the method "${method}"`;
  logSeldom("error", "wrong-class", binding, { detail });
  return detail;
}
