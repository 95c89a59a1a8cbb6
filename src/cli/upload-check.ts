/** Checks an upload as the Worker would at its start, and also what only an upload shows. */

import { gatewaySchema, parseConfig } from "../config.ts";
import { unboundedPolicies } from "../limit/made-up-keys.ts";
import { MisuseError } from "../limit/misuse.ts";
import { limiterSchema } from "../limiter-config.ts";
import { BINDINGS, type BindingName, bindingRule, requireRpc } from "../protocol/bindings.ts";
import { type Upload, type UploadedBinding, variablesOf } from "./upload.ts";

/** The variables and secrets that Turnpike reads. Others may belong to an app. */
const KNOWN = [...Object.keys(gatewaySchema.entries), ...Object.keys(limiterSchema.entries)];

const SECRETS = ["TOKEN", "HASH_SECRET"];

const THIS_MACHINE = /^(?:(?:.*\.)?localhost|127\..*|\[::1\])$/;

/**
 * Returns a sentence for each thing that is worth a note.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function checkUpload(upload: Omit<Upload, "worker">): string[] {
  const { bindings, compatibilityDate, compatibilityFlags } = upload;
  requireColons(bindings);
  const { origin, policies } = parseConfig(variablesOf(bindings));
  if (URL.canParse(origin) && THIS_MACHINE.test(new URL(origin).hostname)) {
    const rule = "must be an address that Cloudflare reaches, such as a tunnel's to this machine";
    throw new MisuseError("ORIGIN", rule, origin);
  }
  requireBinding("TURNPIKE_OWNERS", bindings);
  requireBinding("TURNPIKE_MEMBERSHIP", bindings);
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
