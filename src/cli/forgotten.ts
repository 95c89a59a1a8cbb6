/**
 * Which counts a deployment forgets, compared with what is deployed now.
 *
 * A count belongs to an object (class, region, number), a key and a policy (name, algorithm,
 * window). If one of these changes, counting begins anew, and no decision says so. A limit may
 * change.
 */

import { type Config, parseConfig } from "../config.ts";
import { formatDuration } from "../limit/duration.ts";
import type { Policy } from "../limit/policy.ts";
import { BINDINGS, type BindingName } from "../protocol/bindings.ts";
import { type UploadedBinding, variablesOf } from "./upload.ts";

type Bindings = readonly UploadedBinding[];

/**
 * Returns a sentence for each change that forgets counts.
 *
 * @param deployed the bindings now; without owners among them, there are no counts
 * @param next the bindings after the deployment
 * @param isLive whether other policies than the deployment's are in force, and stay so
 */
export function forgotten(deployed: Bindings, next: Bindings, isLive = false): string[] {
  const before = configOf(deployed);
  const ownersBefore = objectOf("TURNPIKE_OWNERS", deployed);
  if (!before || !ownersBefore) return [];
  const after = parseConfig(variablesOf(next));
  const told: string[] = [];
  const tell = (what: string, from: unknown, to: unknown, effect: string) => {
    if (from !== to) told.push(`${what} changes from ${from} to ${to}: ${effect}`);
  };
  const all = "all counts and blocks begin anew";
  tell("TURNPIKE_OWNERS", ownersBefore, objectOf("TURNPIKE_OWNERS", next), all);
  told.push(...secretChange(deployed, next).map((change) => `${change}: ${all}`));
  tellRings(tell, deployed, next, before, after);
  tell(
    "HOME_REGION",
    before.homeRegion,
    after.homeRegion,
    `counts of ${globals(after)} begin anew${isLive ? ", and live policies end unless that region counts already" : ""}`,
  );
  const perClient = "keys with an address begin anew";
  tell("IPV6_PREFIX", before.ipv6Prefix, after.ipv6Prefix, `IPv6 ${perClient}`);
  tell("IP_HEADER", before.ipHeader, after.ipHeader, perClient);
  for (const policy of isLive ? [] : before.policies) {
    const changed = after.policies.find(({ name }) => name === policy.name);
    if (changed) tellPolicy(tell, policy, changed);
    else told.push(`policy "${policy.name}" is gone, or has another name: so are its counts`);
  }
  return told;
}

type Tell = (what: string, from: unknown, to: unknown, effect: string) => void;

function tellPolicy(tell: Tell, before: Policy, after: Policy): void {
  const of = `of policy "${before.name}"`;
  const anew = "its counts begin anew";
  const window = ({ windowMs }: Policy) => formatDuration(windowMs);
  tell(`window ${of}`, window(before), window(after), anew);
  tell(`algorithm ${of}`, before.algorithm, after.algorithm, anew);
  tell(`key ${of}`, before.key.join(" + "), after.key.join(" + "), anew);
  // A default scope follows from the key, whose change is reported already.
  if (before.key.join() === after.key.join()) tell(`scope ${of}`, before.scope, after.scope, anew);
}

/** Without membership objects, OWNERS is the ring; with them, OWNERS is only how it begins. */
function tellRings(
  tell: Tell,
  deployed: Bindings,
  next: Bindings,
  before: Config,
  after: Config,
): void {
  const from = objectOf("TURNPIKE_MEMBERSHIP", deployed);
  const to = objectOf("TURNPIKE_MEMBERSHIP", next);
  const moved = "keys whose owner is another one begin anew";
  if (from) {
    const effect = `rings are as at first, and ${moved}`;
    tell("TURNPIKE_MEMBERSHIP", from, to ?? "nothing", effect);
  } else {
    tell("OWNERS", before.ownersPerRegion, after.ownersPerRegion, moved);
  }
}

/** Reports a change of the secret. Nobody can read a deployed one, so an upload may change it. */
function secretChange(deployed: Bindings, after: Bindings): string[] {
  const [from, to] = [deployed, after].map((bindings) =>
    bindings.find(({ name }) => name === "HASH_SECRET"),
  );
  if (from?.text === to?.text && !from === !to) return [];
  const isHidden = from && from.text === undefined && to?.text !== undefined;
  return [isHidden ? "HASH_SECRET is uploaded, unless it is the same" : "HASH_SECRET changes"];
}

function globals({ policies }: Config): string {
  const names = policies.filter(({ scope }) => scope === "global").map(({ name }) => `"${name}"`);
  return names.length > 0 ? `${names.join(", ")} and of the API` : "the API";
}

/**
 * Returns where a binding's objects are: their class, and the Worker that has it if not this one.
 */
function objectOf(name: BindingName, bindings: Bindings): string | undefined {
  const names: string[] = [name, BINDINGS[name].formerName];
  const bound = bindings.find((each) => each.class_name !== undefined && names.includes(each.name));
  return bound && [bound.script_name, bound.class_name].filter(Boolean).join("/");
}

function configOf(bindings: Bindings): Config | undefined {
  try {
    return parseConfig(variablesOf(bindings));
  } catch {
    // An older version accepted what this one refuses.
    return undefined;
  }
}
