/** The decisions as simulations and tests use them: the very code that the engine runs. */
export { refusalOf } from './mirror/commands.js';
export { reportOf } from './mirror/report.js';
export { createMirror, durableAtFirst, step } from './mirror/step.js';
export type {
  Action,
  Command,
  Durable,
  IssuedAction,
  MirrorEvent,
  MirrorSettings,
  MirrorState,
  ReplicationFacts,
  Transition,
} from './mirror/types.js';
export { renderReason } from '../model/reason.js';
export type { NodeReport } from '../model/report.js';
export type { ClaimAnswer, WitnessFacts, WitnessRecord } from '../model/arbitration.js';
