/** Contracts of Holdfast plug-ins: types, a few values, and the language of expressions in userconfig.xml. No runtime dependency. */
export { HoldfastError, messageOf } from './errors.js';
export { ExtendedRegex, type RegexPosition } from './extended-regex.js';
export { HEARTBEAT_PAYLOAD_BYTES_MAX } from './heartbeat.js';
export { SDK_VERSION } from './version.js';
export type * from './plugin.js';
export type * from './heartbeat.js';
export type * from './virtual-ip.js';
export type * from './checker.js';
export type * from './replication.js';
