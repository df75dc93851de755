/**
 * maxloop: how often a module may restart, stopstart or wait by itself within loop_interval before it is stopped for good. The count is
 * durable, so that a module that fails at every boot stops too; operators' commands reset it.
 */
import { reason, type Reason } from '../../model/reason.js';
import { beginRestart, beginStop, beginSwap, beginWait, beginWithdraw } from './sequences.js';
import type { Draft } from './draft.js';
import type { Durable, MirrorState } from './types.js';

/** A machine that was told to boot does not start the module before. If it does not boot, the module is not lost for ever. */
const REBOOT_MS_MAX = 600_000;

export function resetLoop<Kept extends Pick<Durable, 'loop'>>(durable: Kept, wallMs: number): Kept {
  return durable.loop.count === 0 ? durable : { ...durable, loop: { count: 0, sinceWallMs: wallMs } };
}

/** The durable state with one more automatic action counted, or undefined when the limit is reached. */
export function counted<Kept extends Pick<Durable, 'loop'>>(state: {
  readonly settings: Pick<MirrorState['settings'], 'maxLoop' | 'loopIntervalMs'>;
  readonly durable: Kept;
  readonly wallMs: number;
}): Kept | undefined {
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
  kind: 'restart' | 'stopstart' | 'withdraw' | 'wait' | 'stop' | 'swap',
  cause: Reason,
  blockedMs = 0,
): void {
  const durable = kind === 'stop' ? draft.state.durable : counted(draft.state);
  if (kind === 'stop') {
    beginStop(draft, cause);
  } else if (durable === undefined) {
    const { count } = draft.state.durable.loop;
    const what = cause.fields['resource'] ?? cause.fields['rule'];
    beginStop(draft, reason('maxloop', { count, cause: `${cause.code}${what === undefined ? '' : ` (${what})`}` }));
  } else if (kind === 'withdraw') {
    beginWithdraw(draft, cause, durable);
  } else if (kind === 'swap') {
    beginSwap(draft, cause, durable);
  } else if (kind === 'restart') {
    beginRestart(draft, cause, durable);
  } else if (kind === 'stopstart' && draft.state.settings.automaticReboot === true) {
    beginWait(draft, cause, { durable, action: kind, blockedMs: REBOOT_MS_MAX, reboots: true });
  } else {
    beginWait(draft, cause, { durable, action: kind === 'wait' ? 'stopwait' : 'stopstart', blockedMs });
  }
}
