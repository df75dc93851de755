/**
 * Who may start a successor of a watched process when it dies: a parent that lives, or the system's service manager. A daemon that a start
 * script left behind has neither: its parent is the init, and it still belongs to the agent's own control group.
 */
import { readFileSync } from 'node:fs';
import { type Process, readProcess } from './process-table.js';

const INIT_PID = 1;

interface Origin {
  readonly process: Process;
  /** The init is its parent, and the control group is of another service than the agent's. */
  readonly managed: boolean;
}

export class Supervisors {
  private readonly origins = new Map<number, Origin>();
  private readonly ownGroup = controlGroup('self');

  /** Remembers where a process comes from: once it is dead it is too late to look. */
  note(process: Process): void {
    const known = this.origins.get(process.pid);
    if (known?.process === process) return;
    const managed = process.parentPid === INIT_PID && controlGroup(process.pid) !== this.ownGroup;
    this.origins.set(process.pid, { process, managed });
  }

  /** Forgets all other processes. */
  keep(alive: ReadonlySet<number>, died: readonly number[]): void {
    for (const pid of this.origins.keys()) if (!alive.has(pid) && !died.includes(pid)) this.origins.delete(pid);
  }

  /** Whether somebody is there now who may start a successor of this process. */
  mayReplace(pid: number): boolean {
    const origin = this.origins.get(pid);
    if (origin === undefined) return false;
    const { parentPid, startTime } = origin.process;
    if (parentPid === INIT_PID) return origin.managed;
    const parent = readProcess(parentPid, false);
    // A younger process has got the parent's number.
    return parent !== undefined && parent.startTime <= startTime;
  }
}

/** Empty where there are no control groups. */
function controlGroup(pid: number | 'self'): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  } catch {
    return '';
  }
}
