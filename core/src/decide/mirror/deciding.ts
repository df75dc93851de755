/**
 * Two nodes with different settings, because one was configured while the other was away. What both must have alike keeps a node from
 * following: it waits, and says which setting it is, while the primary goes on. What can be settled is settled alike on both sides.
 */
import { reason, type Reason } from '../../model/reason.js';
import type { DecidingSettings, NodeReport } from '../../model/report.js';
import type { MirrorSettings, MirrorState } from './types.js';

export function decidingOf({ heartbeatTimeoutMs, witness, witnesses, defaultPrimary }: MirrorSettings): DecidingSettings {
  return { heartbeatTimeoutMs, witnesses: witnesses ?? witness, defaultPrimary };
}

/**
 * A secondary that counts a shorter silence than the primary takes over before that one has stopped to answer; with another witness both
 * may be let go on. Undefined when nothing differs that could do so.
 */
export function dangerousDifference({ settings }: MirrorState, peer: NodeReport): Reason | undefined {
  const theirs = peer.deciding;
  if (theirs === undefined) return undefined;
  const ours = decidingOf(settings);
  const differs = (setting: string, here: string, there: string): Reason =>
    reason('settingsDiffer', { peer: peer.node, setting, here, there, module: settings.module });
  if (ours.witnesses !== theirs.witnesses) return differs('witness', ours.witnesses, theirs.witnesses);
  if (ours.heartbeatTimeoutMs === theirs.heartbeatTimeoutMs) return undefined;
  return differs('heartbeat timeout', `${ours.heartbeatTimeoutMs} ms`, `${theirs.heartbeatTimeoutMs} ms`);
}

/** Whom both prefer; nobody when they are configured differently: each would hand over to the other, or wait for it, for ever. */
export function preferredPrimary({ settings, peer }: MirrorState): string {
  const theirs = peer?.deciding?.defaultPrimary;
  return theirs === undefined || theirs === settings.defaultPrimary ? settings.defaultPrimary : 'alone';
}
