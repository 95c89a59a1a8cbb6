/**
 * Gives each file of a shared workerd objects and modules of its own, which remember no other file.
 */
import { reset } from "cloudflare:test";
import { vi } from "vitest";

await reset();
vi.resetModules();
