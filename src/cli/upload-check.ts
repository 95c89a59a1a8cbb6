/** Checks an upload as the Worker would at its start, and also what only an upload shows. */

import { gatewaySchema, parseConfig } from "../config.ts";
import { isListed, type Network, readAddress, readNetwork } from "../limit/address-list.ts";
import { unboundedPolicies } from "../limit/made-up-keys.ts";
import { MisuseError } from "../limit/misuse.ts";
import { limiterSchema } from "../limiter-config.ts";
import {
  BINDINGS,
  type BindingName,
  bindingRule,
  classRule,
  requireRpc,
} from "../protocol/bindings.ts";
import { type Upload, type UploadedBinding, variablesOf } from "./upload.ts";

/** The variables and secrets that Turnpike reads. Others may belong to an app. */
const KNOWN = [...Object.keys(gatewaySchema.entries), ...Object.keys(limiterSchema.entries)];

const SECRETS = ["TOKEN", "HASH_SECRET"];

/** Types of bindings without the method `fetch`. Others, such as `assets`, may have it. */
const NO_SERVICES = [
  ...["plain_text", "json", "secret_text", "kv_namespace", "r2_bucket", "d1", "queue"],
  ...["durable_object_namespace", "analytics_engine", "ratelimit"],
];

/** Bindings that a Worker may lack, and what each must be. */
const OPTIONAL: Record<string, { isFit(binding: UploadedBinding): boolean; rule: string }> = {
  TURNPIKE_EVENTS: {
    isFit: ({ class_name }) => class_name === "Events",
    rule: classRule("Events"),
  },
  TURNPIKE_ANALYTICS: {
    isFit: ({ type }) => type === "analytics_engine",
    rule: "must be a dataset of Analytics Engine",
  },
  ORIGIN_SERVICE: {
    isFit: ({ type }) => !NO_SERVICES.includes(type),
    rule: "must be a service binding",
  },
};

/** Addresses that only a machine itself, or its own network, reaches (RFC 6890). */
const PRIVATE = [
  ...["0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.168.0.0/16", "::/127", "fc00::/7", "fe80::/10"],
].map((text) => readNetwork(text) as Network);
/** Names that have no public address (RFC 6761, RFC 6762), such as those of containers. */
const PRIVATE_NAME = /(?:^|\.)(?:localhost|local|internal|test)\.?$|^[^.]+$/;

/**
 * Returns a sentence for each thing that is worth a note.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function checkUpload(upload: Omit<Upload, "worker">): string[] {
  const { bindings, compatibilityDate, compatibilityFlags } = upload;
  requireColons(bindings);
  const { origin, policies } = parseConfig(variablesOf(bindings));
  if (URL.canParse(origin) && isPrivate(new URL(origin).hostname.replace(/^\[|\]$/g, ""))) {
    const rule = "must be an address that Cloudflare reaches, such as a tunnel's to this machine";
    throw new MisuseError("ORIGIN", rule, origin);
  }
  requireBinding("TURNPIKE_OWNERS", bindings);
  requireBinding("TURNPIKE_MEMBERSHIP", bindings);
  for (const binding of bindings) {
    const { name, type, class_name } = binding;
    const optional = OPTIONAL[name];
    if (optional && !optional.isFit(binding)) {
      throw new MisuseError(name, optional.rule, class_name ?? type);
    }
  }
  requireRpc(compatibilityFlags.includes("rpc"), compatibilityDate);
  const notes = Object.keys(variablesOf(bindings))
    .filter((name) => !KNOWN.includes(name))
    .map((name) => `${name} is no variable of Turnpike, which are ${KNOWN.join(", ")}`);
  for (const { name, type } of bindings) {
    if (!SECRETS.includes(name) || type === "secret_text") continue;
    notes.push(
      `${name} is a plain variable that anyone with the configuration can read; write npx wrangler secret put ${name}`,
    );
  }
  for (const { name, key } of unboundedPolicies(policies)) {
    const effect = `of key = ${JSON.stringify(key)} clients make up new values, each with a new quota`;
    const mend = 'add a policy with key = ["ip"] for the same path';
    notes.push(`policy "${name}" is no limit by itself: ${effect}; ${mend}`);
  }
  if (!compatibilityFlags.includes("enable_request_signal")) {
    const effect = "nobody learns that a client has left, and its request holds its slot";
    notes.push(`without compatibility_flags = ["enable_request_signal"], ${effect}`);
  }
  return notes;
}

function isPrivate(host: string): boolean {
  const address = readAddress(host);
  return address ? isListed(address, PRIVATE) : PRIVATE_NAME.test(host);
}

/** `--var` takes `NAME:value`; of `NAME=a:b` it makes a variable called `NAME=a`. */
function requireColons(bindings: readonly UploadedBinding[]): void {
  for (const { name, text } of bindings) {
    const [known = "", ...rest] = name.split("=");
    if (rest.length === 0 || !KNOWN.includes(known)) continue;
    const value = rest.join("=") + (text ? `:${text}` : "");
    throw new MisuseError(name, `is no variable: write --var ${known}:${value}`, text);
  }
}

function requireBinding(name: BindingName, bindings: readonly UploadedBinding[]): void {
  const { className, formerName } = BINDINGS[name];
  const bound = bindings.filter((binding) => binding.name === name);
  for (const { type, class_name } of bound) {
    if (class_name !== className) {
      throw new MisuseError(name, bindingRule(name), class_name ?? type);
    }
  }
  if (bound.length > 0) return;
  if (bindings.some((former) => former.name === formerName && former.class_name === className)) {
    const rule = `is the new name of ${formerName}: rename it in durable_objects.bindings; what it counted stays`;
    throw new MisuseError(name, rule, undefined);
  }
  // The membership object is optional: without it, rings never change.
  if (name === "TURNPIKE_OWNERS") throw new MisuseError(name, bindingRule(name), undefined);
}
