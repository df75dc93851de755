/** What the daemons of a machine cost: processor time and memory, as the kernel counts them per process. */
import { readFileSync } from 'node:fs';
import type { LabMachine } from '../lab/index.js';
import type { NamespaceProcess } from '../lab/host-process.js';

/** USER_HZ: a constant of the kernel's interface on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
const HOLDFAST_PROCESS = /holdfast\.js agent|plugins\/\S+\/process\/main\.js/;
const REPLICATOR = /replication-files\/\S+\/process\/main\.js/;

export function holdfastDaemons(machine: LabMachine): number[] {
  return hostPids(machine, ({ command }) => HOLDFAST_PROCESS.test(command));
}

export function hostPids(machine: LabMachine, isDaemon: (process: NamespaceProcess) => boolean): number[] {
  return machine
    .pids()
    .filter(isDaemon)
    .map(({ hostPid }) => hostPid);
}

/** User and system time of processes, all their threads and their children that have ended. */
export function processorSeconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // From the fourteenth field on, counted after the name, which may hold spaces: utime, stime, cutime, cstime.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  });
  return ticks.reduce((sum, value) => sum + value, 0) / TICKS_PER_SECOND;
}

/** The most memory that the machine's replicator has had so far, MiB (VmHWM). */
export function replicatorPeakMib(machine: LabMachine): number {
  const [pid] = hostPids(machine, ({ command }) => REPLICATOR.test(command));
  if (pid === undefined) throw new Error(`no replicator runs on ${machine.name}`);
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(line?.[1] ?? Number.NaN) / 1024;
}
