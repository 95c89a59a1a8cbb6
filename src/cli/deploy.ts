/**
 * `npm run deploy`: checks what would be uploaded as the Worker would at its start, then deploys.
 *
 * All arguments go to `wrangler deploy`.
 */
import { spawn } from "node:child_process";
import { BINDINGS, type BindingName, bindingRule, requireRpc } from "../bindings.ts";
import { parseConfig } from "../config.ts";
import { MisuseError } from "../limit/misuse.ts";
import { readUpload, type Upload, type UploadedBinding } from "./upload.ts";

const args = process.argv.slice(2);
/** These deploy nothing. */
const ASKS_ONLY = /^(?:-h|--help|-v|--version)$/;

if (!args.some((arg) => ASKS_ONLY.test(arg))) {
  try {
    check(await readUpload(args));
  } catch (error) {
    console.error(`Not deployed: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

spawn("wrangler", ["deploy", ...args], { stdio: "inherit" }).on("exit", (code) => {
  process.exitCode = code ?? 1;
});

/** @throws {MisuseError} naming the field, the rule and the value */
function check({ bindings, compatibilityDate, compatibilityFlags }: Upload): void {
  parseConfig(variablesOf(bindings));
  requireBinding("TURNPIKE_OWNERS", bindings);
  requireBinding("TURNPIKE_MEMBERSHIP", bindings);
  requireRpc(compatibilityFlags.includes("rpc"), compatibilityDate);
  if (!compatibilityFlags.includes("enable_request_signal")) {
    const detail = "a request whose client went away holds its slot of a concurrency policy longer";
    console.warn(`Note: without compatibility_flags = ["enable_request_signal"], ${detail}.`);
  }
}

function variablesOf(bindings: readonly UploadedBinding[]): object {
  const variables = bindings.filter(({ type }) => /^(?:plain_text|json|secret_text)$/.test(type));
  return Object.fromEntries(variables.map(({ name, text, json }) => [name, text ?? json]));
}

function requireBinding(name: BindingName, bindings: readonly UploadedBinding[]): void {
  const { className, formerName } = BINDINGS[name];
  const bound = bindings.filter((binding) => binding.name === name);
  for (const { type, class_name } of bound) {
    if (class_name !== className)
      throw new MisuseError(name, bindingRule(name), class_name ?? type);
  }
  if (bound.length > 0) return;
  if (bindings.some((former) => former.name === formerName && former.class_name === className)) {
    const rule = `is the new name of ${formerName}: rename it in durable_objects.bindings; what it counted stays`;
    throw new MisuseError(name, rule, undefined);
  }
  // Without a membership object rings never change.
  if (name === "TURNPIKE_OWNERS") throw new MisuseError(name, bindingRule(name), undefined);
}
