/**
 * Who is there. A node is *alive* while it is heard, and *in touch* when it also hears this node, as this node is now: only with those
 * something can be agreed. One that is heard and does not hear is treated as cut off, on both sides.
 */
import type { FarmReport } from '../../model/farm.js';
import type { NodeId } from '../../model/state.js';
import { silentMs } from '../detector.js';
import type { FarmPeer, FarmState } from './types.js';

/** Everything that makes the others give a node up. */
export function isGone(state: FarmState, node: NodeId): boolean {
  const peer = state.peers[node];
  if (peer === undefined || peer.detector.goodbye) return true;
  const { leaderTimeoutMs, memberTimeoutMs } = state.settings;
  return silentMs(peer.detector, state.nowMs) >= (node === state.leader ? leaderTimeoutMs : memberTimeoutMs);
}

export function isAlive(state: FarmState, node: NodeId): boolean {
  return state.peers[node]?.report !== undefined && !isGone(state, node);
}

function hears({ report }: FarmPeer, state: FarmState): boolean {
  return report?.heard[state.settings.node] === state.incarnation;
}

export function isInTouch(state: FarmState, node: NodeId): boolean {
  const peer = state.peers[node];
  return peer !== undefined && isAlive(state, node) && hears(peer, state);
}

/** What the nodes in touch said last, sorted by name. */
export function inTouch(state: FarmState): readonly FarmReport[] {
  return Object.keys(state.peers)
    .sort()
    .filter((node) => isInTouch(state, node))
    .flatMap((node) => state.peers[node]?.report ?? []);
}
