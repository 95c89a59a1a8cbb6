/**
 * What `wrangler deploy` would upload, as wrangler itself builds it.
 *
 * wrangler reads the arguments, the environment and the files. It builds the Worker and writes the
 * upload to a file instead of sending it. So no argument is read differently here.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A binding as Cloudflare's API has it; variables and secrets are bindings, too. */
export interface UploadedBinding {
  name: string;
  type: string;
  text?: string;
  json?: unknown;
  class_name?: string;
  script_name?: string;
}

export interface Upload {
  worker: string;
  bindings: UploadedBinding[];
  compatibilityDate: string;
  compatibilityFlags: string[];
  /** Types of bindings that stay as deployed, unless the upload has one of that name. */
  keptTypes: string[];
}

/** An address where nothing listens, so that this run can't upload even by mistake. */
const NOWHERE = "http://127.0.0.1:9";

/**
 * Returns what would be uploaded.
 *
 * @param args those of `wrangler deploy`
 * @throws {Error} with what wrangler printed, if it refuses
 */
export async function readUpload(args: readonly string[]): Promise<Upload> {
  const folder = mkdtempSync(join(tmpdir(), "turnpike-deploy-"));
  try {
    const file = join(folder, "upload");
    const log = join(folder, "log");
    const { error, status, stdout, stderr } = spawnSync(
      "wrangler",
      ["deploy", ...into(file, args)],
      {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, WRANGLER_OUTPUT_FILE_PATH: log, CLOUDFLARE_API_BASE_URL: NOWHERE },
      },
    );
    if (error) throw error;
    if (status !== 0) throw new Error(`wrangler refuses it:\n${stdout}${stderr}`);
    return { worker: readName(readFileSync(log, "utf8")), ...(await readForm(file)) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Returns the variables and secrets among bindings, by name, without those whose values are hidden.
 */
export function variablesOf(bindings: readonly UploadedBinding[]): object {
  const variables = bindings.filter(({ text, json }) => text !== undefined || json !== undefined);
  return Object.fromEntries(variables.map(({ name, text, json }) => [name, text ?? json]));
}

/**
 * Returns the bindings after the deployment. Secrets stay, and with `--keep-vars`, variables do
 * too.
 */
export function bindingsAfter(
  { bindings, keptTypes }: Upload,
  deployed: readonly UploadedBinding[],
): UploadedBinding[] {
  const isReplaced = ({ name }: UploadedBinding) => bindings.some((each) => each.name === name);
  const kept = deployed.filter((each) => keptTypes.includes(each.type) && !isReplaced(each));
  return [...bindings, ...kept];
}

/**
 * Returns the arguments of a dry run that writes to a file. wrangler takes the last of a repeated
 * flag.
 */
function into(file: string, args: readonly string[]): string[] {
  const given = args.filter((arg, at) => !isOutfile(arg) && args[at - 1] !== "--outfile");
  const end = given.includes("--") ? given.indexOf("--") : given.length;
  return [...given.slice(0, end), "--outfile", file, "--dry-run", ...given.slice(end)];
}

function isOutfile(arg: string): boolean {
  return arg === "--outfile" || arg.startsWith("--outfile=");
}

async function readForm(file: string): Promise<Omit<Upload, "worker">> {
  const bytes = readFileSync(file);
  const boundary = bytes.subarray(2, bytes.indexOf("\r\n")).toString();
  const headers = { "Content-Type": `multipart/form-data; boundary=${boundary}` };
  const form = await new Response(bytes, { headers }).formData();
  const metadata = JSON.parse(String(form.get("metadata")));
  const { bindings, compatibility_date, compatibility_flags, keep_bindings } = metadata;
  return {
    bindings: bindings ?? [],
    compatibilityDate: compatibility_date ?? "",
    compatibilityFlags: compatibility_flags ?? [],
    keptTypes: keep_bindings ?? [],
  };
}

/** Reads the Worker's name from the log of a run: a line of JSON for each event. */
function readName(log: string): string {
  const events = log.trim().split("\n");
  const named = events.map((line) => JSON.parse(line) as { worker_name?: string });
  return named.find(({ worker_name }) => worker_name)?.worker_name ?? "";
}
