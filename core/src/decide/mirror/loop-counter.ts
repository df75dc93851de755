/**
 * maxloop: how often a module may restart, stopstart or wait by itself within loop_interval before it is stopped for good. The count is
 * durable, so that a module that fails at every boot stops too; operators' commands reset it.
 */
import { reason, type Reason } from '../../model/reason.js';
import { beginRestart, beginStop, beginWait, beginWithdraw } from './sequences.js';
import type { Draft } from './draft.js';
import type { Durable, MirrorState } from './types.js';

export function resetLoop(durable: Durable, wallMs: number): Durable {
  return durable.loop.count === 0 ? durable : { ...durable, loop: { count: 0, sinceWallMs: wallMs } };
}

/** The durable state with one more automatic action counted, or undefined when the limit is reached. */
function counted(state: MirrorState): Durable | undefined {
  const { maxLoop, loopIntervalMs } = state.settings;
  if (loopIntervalMs === 0) return state.durable;
  const { count, sinceWallMs } = state.durable.loop;
  const expired = count === 0 || state.wallMs - sinceWallMs > loopIntervalMs || state.wallMs < sinceWallMs;
  if (expired) return { ...state.durable, loop: { count: 1, sinceWallMs: state.wallMs } };
  if (count >= maxLoop) return undefined;
  return { ...state.durable, loop: { count: count + 1, sinceWallMs } };
}

/** An action that nobody asked for: counts in maxloop, and becomes a stop when the count is used up. */
export function beginAutomatic(
  draft: Draft,
  kind: 'restart' | 'stopstart' | 'withdraw' | 'wait' | 'stop',
  cause: Reason,
  blockedMs = 0,
): void {
  const durable = kind === 'stop' ? draft.state.durable : counted(draft.state);
  if (kind === 'stop') {
    beginStop(draft, cause);
  } else if (durable === undefined) {
    const { count } = draft.state.durable.loop;
    beginStop(draft, reason('maxloop', { count, cause: cause.code }));
  } else if (kind === 'withdraw') {
    beginWithdraw(draft, cause, durable);
  } else if (kind === 'restart') {
    beginRestart(draft, cause, durable);
  } else {
    beginWait(draft, cause, { durable, action: kind === 'wait' ? 'stopwait' : 'stopstart', blockedMs });
  }
}
