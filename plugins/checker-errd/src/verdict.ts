/** From a number of processes to a verdict: pure. */
import type { CheckResult } from '@holdfast/sdk';
import type { WatchedProcess } from './configuration.js';
import type { Observation } from './observation.js';

/** So many scans an application has to appear before its absence counts. */
const GRACE_SCANS = 2;

type Limits = Pick<WatchedProcess, 'atLeast' | 'atMost'>;

export function isEnough({ atLeast }: Limits, count: number): boolean {
  return atLeast === undefined || count >= atLeast;
}

/** @param seen whether there were enough of them at any time since the check started */
export function judge(limits: Limits, { count, pids, scans }: Omit<Observation, 'id'>, seen: boolean): CheckResult {
  if (limits.atMost !== undefined && count > limits.atMost) {
    return { verdict: 'down', detail: `${processes(count)}, at most ${limits.atMost} allowed${named(count, pids)}` };
  }
  if (!isEnough(limits, count)) {
    const detail = `${count} of ${processes(limits.atLeast ?? 0)}${named(count, pids)}`;
    return !seen && scans <= GRACE_SCANS ? { verdict: 'unknown', detail: `${detail}, may still be starting` } : { verdict: 'down', detail };
  }
  return { verdict: 'up', detail: `${processes(count)}${named(count, pids)}` };
}

function processes(count: number): string {
  return count === 1 ? '1 process' : `${count} processes`;
}

function named(count: number, pids: readonly number[]): string {
  if (pids.length === 0) return '';
  return ` (pid ${pids.join(', ')}${count > pids.length ? ', …' : ''})`;
}
