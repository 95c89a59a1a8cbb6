/** Gives each file of a shared process modules of its own, with no memory of what others logged. */
import { vi } from "vitest";

vi.resetModules();
