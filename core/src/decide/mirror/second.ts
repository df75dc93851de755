/** SECOND: follows the primary, and takes over when the primary is gone and this copy is whole and up to date; never otherwise. */
import { compareLineages } from '../../model/generation.js';
import { reason } from '../../model/reason.js';
import type { NodeReport } from '../../model/report.js';
import { isAlive, isLost, silentMs } from '../detector.js';
import { changed } from './copy.js';
import { explain, type Draft } from './draft.js';
import { adoptAgreement, failsOver, isAgreed, mayAsk } from './agreement.js';
import { beginAutomatic } from './loop-counter.js';
import { decideResources } from './resources.js';
import { beginQuietRecord, beginRecord, beginTakeover, beginWait } from './sequences.js';
import { gaveUp } from './split-brain.js';
import type { MirrorState } from './types.js';

function eligible(state: MirrorState): boolean {
  return !state.settings.replicated || (state.durable.condition === 'uptodate' && !state.replication.inconsistent);
}

export function decideSecond(draft: Draft): void {
  const { state } = draft;
  if (state.settings.replicated) {
    if (state.replication.role !== 'secondary') {
      const cause = state.replication.failure ?? 'the replicator is gone';
      return beginAutomatic(draft, 'stopstart', reason('replicationFailed', { cause }));
    }
    if (state.replication.inconsistent && state.durable.condition !== 'inconsistent') {
      const why = reason('resynchronising', { peer: state.settings.peer });
      return beginRecord(draft, { ...state.durable, condition: 'inconsistent' }, 'Transient', why);
    }
  }
  if (isAlive(state.detector, state.nowMs) && state.peer !== undefined) besidePeer(draft, state.peer);
  else if (isLost(state.detector, state.nowMs)) peerGone(draft);
}

/**
 * The primary went on without this node, which has not written that down yet: it slept, and hears of that and of the primary's end at one
 * moment. What this node has written down of itself is older than what it has heard.
 */
function isOutrun({ settings, durable, peer }: MirrorState): boolean {
  return settings.replicated && peer !== undefined && compareLineages(durable.lineage, peer.lineage) === 'second-newer';
}

function peerGone(draft: Draft): void {
  const { state } = draft;
  const peer = state.settings.peer;
  if (!eligible(state) || isOutrun(state)) return beginWait(draft, reason('takeoverRefused', { peer }), { action: 'stopwait' });
  if (!failsOver(state) && !state.detector.goodbye) return beginWait(draft, reason('failoverOff', { peer }), { action: 'stopwait' });
  if (state.detector.goodbye && state.peer?.yielded === true) return beginTakeover(draft, reason('peerStopped', { peer }));
  const why = reason('peerLost', { peer, silentMs: Math.round(silentMs(state.detector, state.nowMs)) });
  if (state.settings.witness === 'none') return beginTakeover(draft, why);
  if (mayAsk(state)) return beginTakeover(draft, why, true);
  beginWait(draft, reason('notSuccessor', { peer }), { action: 'stopwait' });
}

function besidePeer(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  switch (peer.phase) {
    case 'ALONE':
    case 'PRIM':
      return besidePrimary(draft, peer);
    case 'STOP':
    case 'WAIT': {
      const order = compareLineages(state.durable.lineage, peer.lineage);
      const newest = !state.settings.replicated || order === 'same' || order === 'first-newer';
      if (eligible(state) && newest && !peer.yielded) {
        // It restarted, and may not hear this node.
        if (adoptAgreement(draft, peer) || !isAgreed(draft, peer)) return;
      }
      // A swap is wanted by an operator, whatever is configured for losses.
      const isWanted = failsOver(state) || peer.lastRole === 'secondary';
      if (eligible(state) && newest && isWanted) return beginTakeover(draft, reason('peerHandedOver', { peer: peer.node }));
      return beginWait(draft, reason('takeoverRefused', { peer: peer.node }), { action: 'stopwait' });
    }
    case 'SECOND':
    case 'UP':
      return beginWait(draft, reason('waitingForPeer', { peer: peer.node }), { action: 'stopwait' });
  }
}

function besidePrimary(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  const { durable } = state;
  if (!state.settings.replicated) {
    if (adoptAgreement(draft, peer)) return;
    if (durable.lineage.current !== peer.lineage.current) return beginQuietRecord(draft, { ...durable, lineage: peer.lineage });
    decideResources(draft);
    return;
  }
  const order = compareLineages(durable.lineage, peer.lineage);
  if (order === 'same' && durable.condition === 'uptodate' && adoptAgreement(draft, peer)) return;
  if (order === 'diverged' || order === 'first-newer') {
    return beginWait(draft, reason('splitBrain', { peer: peer.node }), { action: 'stopwait' });
  }
  if (order === 'second-newer' && durable.condition === 'uptodate') {
    return beginRecord(draft, { ...durable, condition: 'outdated' }, 'Transient', reason('outdatedByPeer', { peer: peer.node }));
  }
  // Both ends say "connected": an old status of ours cannot be taken for the peer's new generation.
  const connected = state.replication.link === 'connected' && peer.link === 'connected' && !state.replication.inconsistent;
  if (connected && (durable.condition !== 'uptodate' || order !== 'same')) {
    // Whatever was agreed before: this copy takes over again only when the primary has offered that anew.
    const agreement = { ...peer.agreement, mode: 'primary-only', holder: peer.node, settled: true } as const;
    return beginRecord(
      draft,
      { ...gaveUp(durable), lineage: peer.lineage, condition: 'uptodate', agreement },
      'Ready',
      reason('synchronised', { peer: peer.node }),
    );
  }
  if (decideResources(draft)) return;
  showProgress(draft, peer);
}

function showProgress(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  const quality = state.durable.condition === 'uptodate' && state.replication.link === 'connected' ? 'Ready' : 'Transient';
  if (quality === state.quality || state.durable.condition !== 'uptodate') return;
  draft.state = changed(state, { quality });
  explain(draft, reason(quality === 'Ready' ? 'synchronised' : 'linkToPrimaryDown', { peer: peer.node }));
}
