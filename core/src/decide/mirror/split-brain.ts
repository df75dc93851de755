/**
 * Who gives way when both nodes went on without the other. Decided alike on both sides from what both say, and from nothing else: how each
 * reign began, how many reigns each side has begun since they parted (the epochs), and the names. No wall clock: two clocks that differ,
 * or one that jumped, would decide about data.
 *
 * - `manual`, `keep-primary`: the former primary's changes count.
 * - `keep-newest`: the side that has begun more reigns counts; with equally many the one that took over, because its reign began with the
 *   takeover, while the former primary only went on with the one that it had.
 *
 * Whatever the policy, a node that runs is not ended for one that waits, and with `manual`, or when the nodes are configured differently,
 * whoever gave way waits for an operator before its changes are given up.
 */
import type { NodeReport, SplitBrainPolicy } from '../../model/report.js';
import type { Durable, MirrorState } from './types.js';

/** What both nodes are configured for; `manual` when they are not configured alike. */
export function policyOf(state: MirrorState, peer: NodeReport): SplitBrainPolicy {
  const { splitBrain = 'manual' } = state.settings;
  return splitBrain === (peer.splitBrain ?? 'manual') ? splitBrain : 'manual';
}

/** Whether this node gives way. Of two nodes that see each other exactly one does. */
export function loses(state: MirrorState, peer: NodeReport): boolean {
  const { durable, settings } = state;
  const isOlder = durable.lineage.epoch < peer.lineage.epoch;
  const isOtherAge = durable.lineage.epoch !== peer.lineage.epoch;
  const isOtherOrigin = durable.forkedAs !== peer.forkedAs;
  if (policyOf(state, peer) === 'keep-newest') {
    if (isOtherAge) return isOlder;
    if (isOtherOrigin) return peer.forkedAs === 'secondary';
  } else {
    if (isOtherOrigin) return durable.forkedAs === 'secondary';
    if (isOtherAge) return isOlder;
  }
  return settings.node > peer.node;
}

/**
 * A node that waits beside a running primary gives its changes up by itself: both are configured for it, it is the one that loses, and both
 * copies come from one. Data that never were the same are no split brain: somebody declared the wrong disk good, or replaced one.
 */
export function givesUpByItself(state: MirrorState, peer: NodeReport): boolean {
  const ours = [state.durable.lineage.current, ...state.durable.lineage.history];
  const isAkin = peer.lineage.history.some((generation) => ours.includes(generation));
  return isAkin && policyOf(state, peer) !== 'manual' && loses(state, peer);
}

/**
 * This copy follows the other from scratch. What it changed while it was on its own is remembered as given up, until a resync has
 * finished: the replication keeps aside what it overwrites.
 */
export function givingUp(durable: Durable): Durable {
  const { lineage } = durable;
  return {
    ...durable,
    lineage: { current: '', epoch: 0, history: [] },
    condition: 'outdated',
    peerOutdated: false,
    ...(lineage.current === '' ? {} : { givenUp: lineage.current }),
  };
}

/** The resync has finished. */
export function gaveUp(durable: Durable): Durable {
  const { givenUp: _kept, ...rest } = durable;
  return rest;
}
