/** The agent as a library: what the command line, the lab and the benchmarks use. Everything else is internal. */
import 'reflect-metadata';

export { runAgent, type RunAgentOptions, type RunningAgent } from './agent.js';
export { createClient, type Client, type ClientOptions } from './api/client.js';
export { createApi, type Api, type ApiOptions } from './api/server.js';
export { parseCluster } from './config/index.js';
export { Diagnostics } from './engine/diagnostics.js';
export { PHASE_EXIT_CODE } from './model/state.js';
export type * from './api/configuration-contract.js';
export type * from './api/contract.js';
export type { ConfigurationChange } from './model/configuration-change.js';
export type { ClusterConfiguration } from './model/configuration.js';
export type { Phase, Quality } from './model/state.js';
