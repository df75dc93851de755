/** What tests, benchmarks and the demo use of the lab. */
export { waitFor } from './deadline.js';
export { Lab } from './lab.js';
export { LabMachine } from './machine.js';
export { RunningCommand } from './running-command.js';
export type { CommandOptions, CommandResult } from './command.js';
export type { NamespaceProcess } from './host-process.js';
export type { PowerCutOptions, SpawnOptions } from './machine.js';
export type { CutOptions, LabNetwork } from './network.js';
export type { CommandExit, OutputLine } from './running-command.js';
export type { LabNetworkOptions, LabOptions, MachineAddress } from './topology.js';
export { WorkloadClient } from './workload-client.js';
export { monotonicMs } from './workload-report.js';
export type { WorkloadOptions } from './workload.js';
export type { Outage, WorkloadMessage, WorkloadResult } from './workload-report.js';
