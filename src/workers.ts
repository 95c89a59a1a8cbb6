/**
 * Hands the library what the Workers runtime gives to modules. An entry point imports it for that
 * effect; so the rest can be imported where there is no such runtime.
 */
import { env, exports, waitUntil } from "cloudflare:workers";
import { runInWorker } from "./caller/isolate.ts";
import { runOn, runtimeWith } from "./runtime.ts";

runInWorker({ env, exports });
runOn(runtimeWith(waitUntil));
