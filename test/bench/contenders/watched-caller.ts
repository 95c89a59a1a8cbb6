/** Has the isolate's caller tell what it decides. To be imported before a limiter is made. */
import "../../../src/workers.ts";
import { env } from "cloudflare:workers";
import { isolateCaller } from "../../../src/caller/isolate.ts";
import { ownEvents } from "../../../src/events.ts";
import { keyHasher } from "../../../src/ring/key-hash.ts";
import { watch } from "../../../src/watch/watch.ts";

const options = { label: "prefix", loggedDenials: 0 } as const;
isolateCaller(watch(options, ownEvents(env).count, keyHasher("bench")));
