/**
 * What the sending process asks of the kernel: to die with the agent, to be scheduled before ordinary work, and not to be the first
 * victim of a shortage of memory. Only the first is a must; the others need privileges and are reported, not insisted upon.
 */
import { writeFileSync } from 'node:fs';
import { constants as os } from 'node:os';
import { messageOf } from '@holdfast/sdk';
import koffi from 'koffi';
import type { Privileges } from '../channel.js';

const PR_SET_PDEATHSIG = 1;
const SCHED_FIFO = 1;
/** Threads and processes started later do not inherit the real-time class. */
const SCHED_RESET_ON_FORK = 0x40000000;
const FIFO_PRIORITY = 10;

const libc = koffi.load(null);
const prctl = libc.func('int prctl(int option, unsigned long value, unsigned long, unsigned long, unsigned long)');
const scheduling = koffi.struct({ sched_priority: 'int' });
const setScheduler = libc.func('sched_setscheduler', 'int', ['int', 'int', koffi.pointer(scheduling)]);

/** @throws Error when the parent is already gone, or the kernel refuses: such a process must not send anything. */
export function dieWithParent(parentPid: number): void {
  const result: unknown = prctl(PR_SET_PDEATHSIG, os.signals.SIGKILL, 0, 0, 0);
  if (result !== 0) throw new Error(`prctl(PR_SET_PDEATHSIG) failed: errno ${koffi.errno()}`);
  // The parent may have died before the call: then nothing would ever be signalled.
  if (process.ppid !== parentPid) throw new Error(`parent ${parentPid} is gone`);
}

export function acquirePrivileges(): Privileges {
  return { scheduling: becomeRealtime(), outOfMemory: escapeOutOfMemory() };
}

function becomeRealtime(): string {
  if (process.env['HOLDFAST_REALTIME'] === 'off') return 'ordinary: HOLDFAST_REALTIME=off';
  const result: unknown = setScheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, { sched_priority: FIFO_PRIORITY });
  return result === 0
    ? `SCHED_FIFO ${FIFO_PRIORITY}`
    : `ordinary: errno ${koffi.errno()}, the agent lacks CAP_SYS_NICE or a real-time budget`;
}

function escapeOutOfMemory(): string {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
    return 'protected';
  } catch (error) {
    return `unprotected: ${messageOf(error)}`;
  }
}
