/** SECOND: follows the primary, and takes over when the primary is gone and this copy is whole and up to date; never otherwise. */
import { compareLineages } from '../../model/generation.js';
import { reason } from '../../model/reason.js';
import type { NodeReport } from '../../model/report.js';
import { isAlive, isLost, silentMs } from '../detector.js';
import { explain, type Draft } from './draft.js';
import { beginAutomatic } from './loop-counter.js';
import { decideResources } from './resources.js';
import { beginRecord, beginTakeover, beginWait } from './sequences.js';
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

function peerGone(draft: Draft): void {
  const { state } = draft;
  const peer = state.settings.peer;
  if (!eligible(state)) return beginWait(draft, reason('takeoverRefused', { peer }), { action: 'stopwait' });
  if (!state.settings.failover && !state.detector.goodbye) return beginWait(draft, reason('failoverOff', { peer }), { action: 'stopwait' });
  const silent = Math.round(silentMs(state.detector, state.nowMs));
  beginTakeover(draft, state.detector.goodbye ? reason('peerStopped', { peer }) : reason('peerLost', { peer, silentMs: silent }));
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
      if (eligible(state) && newest && state.settings.failover) return beginTakeover(draft, reason('peerHandedOver', { peer: peer.node }));
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
    decideResources(draft);
    return;
  }
  const order = compareLineages(durable.lineage, peer.lineage);
  if (order === 'diverged' || order === 'first-newer') {
    return beginWait(draft, reason('splitBrain', { peer: peer.node }), { action: 'stopwait' });
  }
  if (order === 'second-newer' && durable.condition === 'uptodate') {
    return beginRecord(draft, { ...durable, condition: 'outdated' }, 'Transient', reason('outdatedByPeer', { peer: peer.node }));
  }
  // Both ends say "connected": an old status of ours cannot be taken for the peer's new generation.
  const connected = state.replication.link === 'connected' && peer.link === 'connected' && !state.replication.inconsistent;
  if (connected && (durable.condition !== 'uptodate' || order !== 'same')) {
    const lineage = peer.lineage;
    return beginRecord(draft, { ...durable, lineage, condition: 'uptodate' }, 'Ready', reason('synchronised', { peer: peer.node }));
  }
  if (decideResources(draft)) return;
  showProgress(draft, peer);
}

function showProgress(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  const quality = state.durable.condition === 'uptodate' && state.replication.link === 'connected' ? 'Ready' : 'Transient';
  if (quality === state.quality || state.durable.condition !== 'uptodate') return;
  draft.state = { ...state, quality };
  explain(draft, reason(quality === 'Ready' ? 'synchronised' : 'linkToPrimaryDown', { peer: peer.node }));
}
