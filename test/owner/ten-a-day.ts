/** A policy as an owner gets it. Tests change the fields that they are about. */
import type { CounterPolicy } from "../../src/counters/check.ts";

export const DAY_MS = 86_400_000;

export const TEN_A_DAY: CounterPolicy = {
  name: "default",
  algorithm: "fixed-window",
  limit: 10,
  windowMs: DAY_MS,
  capacity: 10,
  cost: 1,
  shadow: false,
  durable: false,
};
