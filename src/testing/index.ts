/** What a user's own tests import: `turnpike/testing`. */
import "./node-20.ts";

export type { Clock } from "./clock.ts";
export { installTestKit, type TestKit } from "./kit.ts";
export type { Call } from "./recording-caller.ts";
export {
  runVectors,
  type VectorCheck,
  type VectorDecision,
  type VectorDifference,
  type VectorLimiter,
  type VectorOptions,
  type VectorReport,
} from "./vector-runner.ts";
