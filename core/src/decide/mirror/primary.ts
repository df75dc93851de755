/** ALONE and PRIM: the application runs here. What may end that, what may change beside it, in order of importance. */
import { compareLineages } from '../../model/generation.js';
import { reason, type Reason } from '../../model/reason.js';
import type { NodeReport } from '../../model/report.js';
import { isAlive, isHeardAwake, isLost, silentMs } from '../detector.js';
import { changed } from './copy.js';
import { begin, issue, act, type Draft } from './draft.js';
import { armAlone, offerAgreement } from './agreement.js';
import { beginAutomatic } from './loop-counter.js';
import { beginContinueAlone, beginPrim, beginQuietRecord, beginSwap, beginWait, termOf } from './sequences.js';
import { preferredPrimary } from './deciding.js';
import { decideResources } from './resources.js';
import { loses } from './split-brain.js';
import type { MirrorState } from './types.js';

const CONNECT_AGAIN_MS = 2000;

/**
 * Another primary: only after a cut without a witness, or when this node slept while the peer took over. Who must go is decided alike on
 * both sides. Returns true when this node gives up.
 */
function yieldToOtherPrimary(draft: Draft): boolean {
  const { state } = draft;
  const peer = state.peer;
  if (peer === undefined) return false;
  const order = compareLineages(state.durable.lineage, peer.lineage);
  // Lineages only grow: a newer one counts whatever the peer does now, also when it has stopped again.
  if (order === 'second-newer') {
    beginWait(draft, reason('deposed', { peer: peer.node }), { action: 'deposed' });
    return true;
  }
  if (!isAlive(state.detector, state.nowMs) || (peer.phase !== 'ALONE' && peer.phase !== 'PRIM')) return false;
  // It holds its writes: it has acknowledged nothing without this node, and goes when it hears of us.
  if (peer.link === 'holding') return false;
  if (order !== 'first-newer' && loses(state, peer)) {
    beginWait(draft, reason('splitBrain', { peer: peer.node }), { action: 'splitbrain' });
    return true;
  }
  return false;
}

/** This node serves the data but could not start the application, and there is a peer that might. */
export function canWithdraw(state: MirrorState): boolean {
  const { peer, detector, nowMs } = state;
  if (state.phase !== 'ALONE' || state.withdrawn || state.replication.role !== 'primary' || state.replication.link === 'holding')
    return false;
  return peer !== undefined && isAlive(detector, nowMs) && (peer.phase === 'SECOND' || peer.phase === 'WAIT');
}

/** Only until the peer has the data, or is gone: then this node must try again itself. */
function decideWithdrawn(draft: Draft): void {
  const { state } = draft;
  const { peer } = state.settings;
  if (state.replication.link === 'connected' && peerIsReadySecondary(state)) {
    beginWait(draft, reason('handsOver', { peer }), { action: 'swap' });
  } else if (isLost(state.detector, state.nowMs) || state.peer?.phase === 'STOP' || state.replication.link === 'holding') {
    beginWait(draft, reason('peerStopped', { peer }), { action: 'stopstart' });
  } else {
    attachPeer(draft);
  }
}

export function decidePrimary(draft: Draft): void {
  const { state } = draft;
  if (yieldToOtherPrimary(draft)) return;
  const { replicated, peer } = state.settings;
  if (replicated && state.replication.role !== 'primary') {
    return beginAutomatic(
      draft,
      'stopstart',
      reason('replicationFailed', { cause: state.replication.failure ?? 'the file system is gone' }),
    );
  }
  if (state.withdrawn) return decideWithdrawn(draft);
  if (state.phase === 'PRIM' ? leftByPeer(draft) : state.replication.link === 'holding' && lostLink(draft)) return;
  if (decideResources(draft, state.phase === 'PRIM' && peerIsReadySecondary(state))) return;
  // An address expires when this node sleeps, and the peer may have it by now.
  const mayRepair = state.phase === 'ALONE' || isHeardAwake(state.detector);
  if (state.settings.hasAddresses && state.addressesObserved === 'absent' && mayRepair) {
    const settle = { quality: 'Ready', reason: reason('ready') } as const;
    return begin(draft, {
      name: 'repair-address',
      steps: [act({ kind: 'acquireAddresses' }, 'continue')],
      onAbort: 'ignore',
      settle,
      leaving: false,
    });
  }
  if (state.phase === 'ALONE') {
    armAlone(draft);
    return attachPeer(draft);
  }
  if (state.peer !== undefined && peerIsReadySecondary(state) && offerAgreement(draft, state.peer)) return;
  if (prefersPeer(state) && peerIsReadySecondary(state)) beginSwap(draft, reason('defaultPrim', { peer }));
}

function prefersPeer(state: MirrorState): boolean {
  const preferred = preferredPrimary(state);
  return preferred === state.settings.peer || (preferred === 'lastprim' && state.peer?.formerPrimary === true);
}

function leftByPeer(draft: Draft): boolean {
  const { state } = draft;
  const peer = state.settings.peer;
  if (state.detector.goodbye || (state.peer !== undefined && (state.peer.phase === 'STOP' || state.peer.phase === 'WAIT'))) {
    beginContinueAlone(draft, reason('peerStopped', { peer }));
    return true;
  }
  if (isLost(state.detector, state.nowMs)) {
    beginContinueAlone(draft, reason('peerLost', { peer, silentMs: Math.round(silentMs(state.detector, state.nowMs)) }));
    return true;
  }
  // A connected pair that resynchronises repairs itself: the secondary has marked itself inconsistent before anything went on.
  const { link } = state.replication;
  return state.settings.replicated && link !== 'connected' && link !== 'resynchronising' && lostLink(draft);
}

function lostLink(draft: Draft): boolean {
  const { state } = draft;
  beginContinueAlone(draft, reason('linkLost', { peer: state.settings.peer, cause: state.replication.failure ?? 'connection closed' }));
  return true;
}

export function peerIsReadySecondary(state: MirrorState): boolean {
  const { peer, durable } = state;
  if (peer === undefined || peer.phase !== 'SECOND' || !isAlive(state.detector, state.nowMs)) return false;
  if (!state.settings.replicated) return peer.quality === 'Ready';
  return peer.condition === 'uptodate' && peer.lineage.current === durable.lineage.current;
}

/** ALONE: brings a secondary up to date, and becomes PRIM when it durably is. */
function attachPeer(draft: Draft): void {
  const { state } = draft;
  const peer = state.peer;
  if (peer === undefined || peer.phase !== 'SECOND' || !isAlive(state.detector, state.nowMs)) return;
  if (!state.settings.replicated) {
    if (peer.quality === 'Ready') beginPrim(draft);
    return;
  }
  if (state.replication.link === 'connected') {
    if (peerIsReadySecondary(state)) beginPrim(draft);
    return;
  }
  // It is about to leave its role: what it holds is not ours to overwrite.
  const order = compareLineages(state.durable.lineage, peer.lineage);
  if (order === 'diverged' || order === 'second-newer') return;
  // A withdrawn node comes here too, but never with a peer that is ready.
  if (state.replication.link !== 'none' || state.nowMs - state.connectIssuedMs < CONNECT_AGAIN_MS) return;
  // Durable before it can be true: a node that comes back alone must not believe that nobody followed it.
  if (!state.durable.followed) return beginQuietRecord(draft, { ...state.durable, followed: true });
  const why = whyCompare(peer, state.replication.journalSince);
  const term = termOf(state.durable);
  issue(
    draft,
    why === undefined ? { kind: 'connectPeer', term, mode: 'journal' } : { kind: 'connectPeer', term, mode: 'compare', reason: why },
  );
  draft.state = changed(draft.state, { connectIssuedMs: state.nowMs });
}

/** Undefined when the journal of this node names everything in which the peer's copy may differ. */
function whyCompare(peer: NodeReport, journalSince: string | undefined): Reason | undefined {
  const fields = { peer: peer.node };
  if (peer.lineage.current === '') return reason('compareNewCopy', fields);
  const fits = peer.lineage.current === journalSince;
  // An inconsistent peer knows whether the journal repairs it, and refuses when it does not: then the trees are compared.
  if (peer.condition === 'inconsistent') return fits ? undefined : reason('comparePartialCopy', fields);
  if (journalSince === undefined) return reason('compareNoJournal');
  if (!fits) return reason('compareOtherJournal', fields);
  return peer.condition === 'outdated' ? undefined : reason('compareUnmarkedCopy', fields);
}
