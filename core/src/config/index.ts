/** cluster.xml and userconfig.xml to validated configuration. */
export { parseCluster } from './cluster.js';
export { CONFIG_ERRORS, type ConfigErrorCode } from './errors.js';
export { findOverlaps, type DirectoryOverlap, type ReplicatedDirectories } from './overlaps.js';
export { parseModule, type ParseModuleOptions, type ParsedModule } from './module.js';
export type { ConfigProblem } from './problems.js';
export type { ContributedSchema } from './module-elements.js';
