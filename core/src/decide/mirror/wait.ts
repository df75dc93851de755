/**
 * WAIT: who becomes primary. Each node decides alone, from its own lineage and from what the peer says; the rules are symmetric, so that
 * both come to the same result: the newer copy goes on, equal copies keep their last roles, and nobody overwrites anybody who changed too.
 */
import { compareLineages } from '../../model/generation.js';
import { reason, type Reason } from '../../model/reason.js';
import type { NodeReport } from '../../model/report.js';
import { isAlive, isLost } from '../detector.js';
import { explain, type Draft } from './draft.js';
import { beginAlone, beginSecond } from './sequences.js';
import type { MirrorState } from './types.js';

function block(draft: Draft, why: Reason): void {
  const { state } = draft;
  const repeated = state.reason.code === why.code && state.quality === 'NotReady';
  draft.state = { ...state, quality: 'NotReady' };
  if (!repeated) explain(draft, why);
}

function hold(draft: Draft, why: Reason): void {
  const { state } = draft;
  const repeated = state.reason.code === why.code && state.quality === 'Transient';
  draft.state = { ...state, quality: 'Transient' };
  if (!repeated) explain(draft, why);
}

/** With equal copies: the last primary goes on; without one, the preferred node; then the smaller name. */
function goesFirst(state: MirrorState, peer: NodeReport): boolean {
  const { defaultPrimary, node } = state.settings;
  const mine = state.durable.lastRole === 'primary';
  const theirs = peer.lastRole === 'primary';
  if (mine !== theirs) return mine;
  if (defaultPrimary === node) return true;
  if (defaultPrimary === peer.node) return false;
  return node < peer.node;
}

export function decideWait(draft: Draft): void {
  const { state } = draft;
  if (state.nowMs < state.blockedUntilMs) return;
  const alive = isAlive(state.detector, state.nowMs);
  const peerName = state.settings.peer;
  if (alive && state.peer !== undefined) {
    withPeer(draft, state.peer);
  } else if (!isLost(state.detector, state.nowMs)) {
    hold(draft, reason('waitingForPeer', { peer: peerName }));
  } else {
    withoutPeer(draft);
  }
}

function withoutPeer(draft: Draft): void {
  const { state } = draft;
  const peer = state.settings.peer;
  const { durable } = state;
  if (state.intent === 'prim') return beginAlone(draft, reason('operatorPrim'), true);
  if (state.intent === 'second') return block(draft, reason('waitingForPeer', { peer }));
  if (!state.settings.replicated)
    return beginAlone(draft, reason('peerLost', { peer, silentMs: state.settings.heartbeatTimeoutMs }), false);
  if (durable.lineage.current === '') return block(draft, reason('notUptodateFirstStart'));
  if (isInconsistent(state)) return block(draft, reason('notUptodateInconsistent', { peer }));
  if (durable.lastRole === 'primary' && durable.peerOutdated && durable.condition === 'uptodate') {
    return beginAlone(draft, reason('lastPrimary', { peer }), false);
  }
  return block(draft, reason('notUptodatePeerSilent', { peer }));
}

function isInconsistent(state: MirrorState): boolean {
  return state.durable.condition === 'inconsistent' || state.replication.inconsistent;
}

function withPeer(draft: Draft, peer: NodeReport): void {
  switch (peer.phase) {
    case 'ALONE':
    case 'PRIM':
      return besidePrimary(draft, peer);
    case 'SECOND':
      return besideSecondary(draft, peer);
    case 'WAIT':
    case 'STOP':
    case 'UP':
      return besideIdle(draft, peer);
  }
}

function besidePrimary(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  if (!state.settings.replicated) return beginSecond(draft, reason('peerIsPrimary', { peer: peer.node }));
  switch (compareLineages(state.durable.lineage, peer.lineage)) {
    case 'same':
    case 'second-newer':
      return beginSecond(draft, reason('peerIsPrimary', { peer: peer.node }));
    case 'first-newer':
      return block(draft, reason('peerRunsOlderData', { peer: peer.node }));
    case 'diverged':
      return block(draft, reason('splitBrain', { peer: peer.node }));
    case 'both-empty':
      return hold(draft, reason('waitingForPeer', { peer: peer.node }));
  }
}

/** The peer sits as secondary without a primary: it takes over by itself if its copy is good; if not, ours must be. */
function besideSecondary(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  if (state.intent === 'prim' && peer.condition !== 'uptodate') return beginAlone(draft, reason('operatorPrim'), true);
  if (peer.condition === 'uptodate' || !canLead(state)) return hold(draft, reason('peerChosen', { peer: peer.node }));
  const order = compareLineages(state.durable.lineage, peer.lineage);
  if (order === 'same' || order === 'first-newer') return beginAlone(draft, reason('newerThanPeer', { peer: peer.node }), false);
  return hold(draft, reason('peerIsNewer', { peer: peer.node }));
}

function canLead(state: MirrorState): boolean {
  return (
    !state.settings.replicated || (state.durable.lineage.current !== '' && state.durable.condition === 'uptodate' && !isInconsistent(state))
  );
}

/** STOP (Transient) is a node that is just starting: it will be WAIT in a moment. */
function isStopped(peer: NodeReport): boolean {
  return peer.phase === 'STOP' && peer.quality !== 'Transient';
}

function besideIdle(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  if (state.intent === 'prim') {
    if (peer.claiming && peer.node < state.settings.node) {
      draft.state = { ...state, intent: 'decide' };
      return hold(draft, reason('peerChosen', { peer: peer.node }));
    }
    return beginAlone(draft, reason('operatorPrim'), true);
  }
  if (peer.claiming) return hold(draft, reason('peerChosen', { peer: peer.node }));
  if (state.intent === 'second') return block(draft, reason('waitingForPeer', { peer: peer.node }));
  if (!state.settings.replicated) return beforeEqual(draft, peer);
  switch (compareLineages(state.durable.lineage, peer.lineage)) {
    case 'both-empty':
      return block(draft, reason('notUptodateFirstStart'));
    case 'diverged':
      return block(draft, reason('splitBrainWaiting'));
    case 'first-newer':
      return canLead(state)
        ? beginAlone(draft, reason('newerThanPeer', { peer: peer.node }), false)
        : block(draft, reason('notUptodateInconsistent', { peer: peer.node }));
    case 'second-newer':
      return isStopped(peer)
        ? block(draft, reason('peerStoppedNewer', { peer: peer.node }))
        : hold(draft, reason('peerIsNewer', { peer: peer.node }));
    case 'same':
      return beforeEqual(draft, peer);
  }
}

function beforeEqual(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  const theirsGood = !state.settings.replicated || peer.condition === 'uptodate';
  if (!canLead(state)) {
    if (!theirsGood) return block(draft, reason('notUptodateInconsistent', { peer: peer.node }));
    return isStopped(peer)
      ? block(draft, reason('peerStoppedNewer', { peer: peer.node }))
      : hold(draft, reason('peerChosen', { peer: peer.node }));
  }
  if (isStopped(peer)) return beginAlone(draft, reason('peerStoppedSame', { peer: peer.node }), false);
  if (!theirsGood || goesFirst(state, peer)) return beginAlone(draft, reason('sameAsPeer', { peer: peer.node }), false);
  return hold(draft, reason('peerChosen', { peer: peer.node }));
}
