/** Contracts of Holdfast plug-ins: types, a few values, and the language of expressions in userconfig.xml. No runtime dependency. */
export { Attributes, type CheckHead, readCheckHead } from './attributes.js';
export { HoldfastError, messageOf } from './errors.js';
export { ExtendedRegex, type RegexPosition } from './extended-regex.js';
export { HEARTBEAT_PAYLOAD_BYTES_MAX } from './heartbeat.js';
export { pause, PeriodicCheck, type PeriodicCheckOptions } from './periodic-check.js';
export { SDK_VERSION } from './version.js';
export { WitnessOperations } from './witness-operations.js';
export { WITNESS_TEXT_CHARS_MAX } from './witness.js';
export { checkWitnessClaim, checkWitnessRecord, judgeArm, judgeClaim, sameWitnessRecord, witnessRecordOf } from './witness-rules.js';
export type * from './plugin.js';
export type * from './heartbeat.js';
export type * from './virtual-ip.js';
export * from './checker.js';
export type * from './replication.js';
export type * from './witness.js';
export type * from './witness-server.js';
