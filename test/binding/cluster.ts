/**
 * Several Workers in one workerd: the deployed Turnpike, and others that bind to its entrypoint.
 * On a free port of the loopback interface; the caller disposes of it.
 */
import { join } from "node:path";
import {
  convertV4MiniflareOptions,
  type Json,
  Miniflare,
  type V4WorkerOptions,
} from "miniflare-native";
import { bundleFile } from "../bench/contenders.ts";

const ROOT = join(import.meta.dirname, "../..");

type Options = Omit<V4WorkerOptions, "script" | "scriptPath" | "modules" | "modulesRoot">;

/** A Worker of one ES module. */
export function worker(name: string, script: string, options: Options = {}): V4WorkerOptions {
  return { name, modules: true, script, compatibilityDate: "2026-10-23", ...options };
}

/** The options of a Worker that exports the classes of the objects. */
export function withObjects(bindings: V4WorkerOptions["bindings"]): Options {
  return {
    bindings: { DEADLINE: "10s", ...bindings },
    durableObjects: {
      TURNPIKE_OWNERS: { className: "RateLimiter", useSQLite: true },
      TURNPIKE_MEMBERSHIP: { className: "Membership", useSQLite: true },
    },
  };
}

/** The Worker that is deployed, under these policies. */
export async function deployed(policies: Json[]): Promise<V4WorkerOptions> {
  const script = await bundleFile(join(ROOT, "src/worker.ts"));
  return worker("turnpike", script, withObjects({ POLICIES: policies }));
}

/** A binding to the entrypoint, as `[[services]]` of a `wrangler.toml` describes it. */
export function bound(policy?: string, service = "turnpike") {
  return { name: service, entrypoint: "Turnpike", props: policy === undefined ? {} : { policy } };
}

/** Values that JSON has not, by their names. */
const SPECIAL = { undefined: undefined, NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY };

/** A Worker that calls a method of a binding, as the body of a request says. */
export const CALLING = `
const SPECIAL = { undefined: undefined, NaN: NaN, Infinity: Infinity };
const revive = (value) => {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== "object" || value === null) return value;
  if ("special" in value) return SPECIAL[value.special];
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, revive(each)]));
};
export default {
  async fetch(request, env) {
    const { binding, method, args } = await request.json();
    try {
      return Response.json({ answer: (await env[binding][method](...revive(args))) ?? null });
    } catch (error) {
      return Response.json({ error: String(error) });
    }
  },
};`;

/** What a call came to: its answer, or its error as text. */
export interface Called<Answer = Record<string, unknown>> {
  answer?: Answer;
  error?: string;
}

export interface Cluster extends AsyncDisposable {
  /** Sends a request to the Worker with this name. */
  fetch(worker: string, url: string, init?: RequestInit): Promise<Response>;
  /** Calls a method of a binding that a {@link CALLING} Worker has. */
  call<Answer = Record<string, unknown>>(
    worker: string,
    binding: string,
    method: string,
    ...args: unknown[]
  ): Promise<Called<Answer>>;
  stop(): Promise<void>;
}

/** @throws {Error} with what workerd wrote, if a Worker does not start */
export async function start(...workers: V4WorkerOptions[]): Promise<Cluster> {
  const options = convertV4MiniflareOptions({ workers, host: "127.0.0.1", port: 0 });
  const miniflare = new Miniflare(options);
  const stop = () => miniflare.dispose();
  try {
    await miniflare.ready;
  } catch (error) {
    await stop();
    throw error;
  }
  const fetchFrom: Cluster["fetch"] = async (name, url, init) => {
    const { fetch } = await miniflare.getWorker(name);
    return (fetch as unknown as typeof globalThis.fetch)(url, init);
  };
  return {
    fetch: fetchFrom,
    call: async (name, binding, method, ...args) => {
      const body = JSON.stringify({ binding, method, args }, (_, value: unknown) => {
        const special = Object.entries(SPECIAL).find(([, each]) => Object.is(each, value));
        return special ? { special: special[0] } : value;
      });
      return (await fetchFrom(name, "http://caller/", { method: "POST", body })).json();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
