/**
 * WAIT: who becomes primary. Each node decides alone, from its own lineage and from what the peer says; the rules are symmetric, so that
 * both come to the same result: the newer copy goes on, equal copies keep their last roles, and nobody overwrites anybody who changed too.
 */
import { compareLineages } from '../../model/generation.js';
import { reason, type Reason } from '../../model/reason.js';
import type { NodeReport } from '../../model/report.js';
import { isAlive, isLost } from '../detector.js';
import { changed } from './copy.js';
import { explain, type Draft } from './draft.js';
import { dangerousDifference, preferredPrimary } from './deciding.js';
import { ruleGate } from './rule-gate.js';
import { adoptAgreement, contradicts, isAgreed, isHolder, isHolderStill, mayAsk, mustAsk } from './agreement.js';
import { beginAlone, beginQuietRecord, beginReclaim, beginSecond, unprepared, yielding } from './sequences.js';
import { givesUpByItself, givingUp, policyOf } from './split-brain.js';
import type { MirrorState } from './types.js';

function block(draft: Draft, why: Reason): void {
  const { state } = draft;
  const repeated = state.reason.code === why.code && state.quality === 'NotReady';
  draft.state = changed(state, { quality: 'NotReady' });
  if (!repeated) explain(draft, why);
}

function hold(draft: Draft, why: Reason): void {
  const { state } = draft;
  const repeated = state.reason.code === why.code && state.quality === 'Transient';
  draft.state = changed(state, { quality: 'Transient' });
  if (!repeated) explain(draft, why);
}

/** With equal copies: the last primary goes on; without one, the preferred node; then the smaller name. */
function goesFirst(state: MirrorState, peer: NodeReport): boolean {
  const { node } = state.settings;
  // Whatever it was last: a rule keeps it from going on.
  if (peer.blocked === true) return true;
  const mine = state.durable.lastRole === 'primary';
  const theirs = peer.lastRole === 'primary';
  if (mine !== theirs) return mine;
  const preferred = preferredPrimary(state);
  if (preferred === node) return true;
  if (preferred === peer.node) return false;
  return node < peer.node;
}

export function decideWait(draft: Draft): void {
  // Also while rules keep it waiting: the other node needs the consent to go on.
  if (draft.state.peer !== undefined && adoptAgreement(draft, draft.state.peer)) return;
  const gate = ruleGate(draft);
  if (gate === 'stopping') return;
  if (gate !== undefined) return gate.quality === 'NotReady' ? block(draft, gate.why) : hold(draft, gate.why);
  const { state } = draft;
  if (state.nowMs < state.blockedUntilMs) return;
  const alive = isAlive(state.detector, state.nowMs);
  const peerName = state.settings.peer;
  if (alive && state.peer !== undefined) {
    // What was prepared in its absence was never allowed.
    if (state.durable.before !== undefined) return beginQuietRecord(draft, unprepared(state.durable));
    if (state.successor) draft.state = changed(state, { successor: false });
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
  if (state.intent === 'second') return block(draft, reason('secondOnly', { peer }));
  if (!state.settings.replicated && state.settings.witness !== 'strong')
    return beginAlone(draft, reason('peerLost', { peer, silentMs: state.settings.heartbeatTimeoutMs }), false);
  if (state.settings.replicated && durable.lineage.current === '') return block(draft, reason('notUptodateFirstStart'));
  if (isInconsistent(state)) return block(draft, reason('notUptodateInconsistent', { peer }));
  if (state.settings.witness === 'strong' && asksAlone(draft)) return;
  if (durable.before !== undefined) return beginQuietRecord(draft, unprepared(durable));
  if (durable.lastRole === 'primary' && durable.peerOutdated && durable.condition === 'uptodate' && !durable.followed && !durable.yielded) {
    return beginAlone(draft, reason('lastPrimary', { peer }), false);
  }
  if (state.successor && state.settings.witness === 'weak') return beginReclaim(draft, reason('asksWitness', { peer }), 'secondary');
  return block(draft, reason('notUptodatePeerSilent', { peer }));
}

/** With a witness, the last primary can find out whether it may go on, and so can a secondary that lost its primary while it ran. */
function asksAlone(draft: Draft): boolean {
  const { state } = draft;
  const { peer } = state.settings;
  const standing = state.durable.before ?? state.durable;
  const asks = reason('asksWitness', { peer });
  if (standing.yielded || standing.condition === 'outdated' || !mayAsk(state)) return false;
  if (state.witness.reachable && contradicts(state)) {
    block(draft, reason('notGranted', { peer, owner: state.witness.record?.owner ?? peer }));
    return true;
  }
  if (state.successor) {
    beginReclaim(draft, asks, 'secondary');
    return true;
  }
  if (standing.lastRole !== 'primary' || (standing.peerOutdated && !standing.followed && state.durable.before === undefined)) return false;
  // An operator may have promoted the other node while this one was away: it is better to hear the witness before going on from there.
  if (mustAsk(state) || !state.witness.reachable) beginReclaim(draft, asks, 'primary');
  else beginAlone(draft, reason('onlyPrimary', { peer }), false);
  return true;
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
  const difference = dangerousDifference(state, peer);
  if (difference !== undefined) return block(draft, difference);
  if (!state.settings.replicated) return beginSecond(draft, reason('peerIsPrimary', { peer: peer.node }));
  switch (compareLineages(state.durable.lineage, peer.lineage)) {
    case 'same':
    case 'second-newer':
      return beginSecond(draft, reason('peerIsPrimary', { peer: peer.node }));
    case 'first-newer':
      return block(draft, reason('peerRunsOlderData', { peer: peer.node }));
    case 'diverged':
      // Its changes are the ones that will be given up: it does not go on with them when the other is away.
      if (!state.durable.yielded) return beginQuietRecord(draft, yielding(state.durable));
      if (givesUpByItself(state, peer)) {
        const why = reason('splitBrainGivesUp', { peer: peer.node, policy: policyOf(state, peer) });
        return beginQuietRecord(draft, givingUp(state.durable), why);
      }
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
  if (order === 'same' || order === 'first-newer') return goOnBeside(draft, peer, reason('newerThanPeer', { peer: peer.node }));
  return hold(draft, reason('peerIsNewer', { peer: peer.node }));
}

function canLead(state: MirrorState): boolean {
  return (
    !state.settings.replicated || (state.durable.lineage.current !== '' && state.durable.condition === 'uptodate' && !isInconsistent(state))
  );
}

/** What the peer said may be old: it might take over meanwhile, unless it agrees. */
function goOnBeside(draft: Draft, peer: NodeReport, why: Reason): void {
  if (isHolderStill(draft.state) || isAgreed(draft, peer)) return beginAlone(draft, why, false);
  if (draft.state.sequence === undefined) hold(draft, reason('waitingForConsent', { peer: peer.node }));
}

/** STOP (Transient) is a node that is just starting: it will be WAIT in a moment. */
function isStopped(peer: NodeReport): boolean {
  return peer.phase === 'STOP' && peer.quality !== 'Transient';
}

/**
 * An operator's `prim` beside a peer that may be about to go on itself, because this node agreed to that, or because `prim` was said there
 * at the same moment: the peer gives it up first. One that has newer data does not, and the operator overrides it.
 */
function declareBeside(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  const order = compareLineages(state.durable.lineage, peer.lineage);
  const agrees = order !== 'second-newer' && order !== 'diverged';
  if (state.forced || isHolder(state) || !agrees || isAgreed(draft, peer)) return beginAlone(draft, reason('operatorPrim'), true);
  if (draft.state.sequence === undefined) hold(draft, reason('waitingForConsent', { peer: peer.node }));
}

/**
 * `second` was said here while the other node was primary, with data as new as ours or newer, and now it waits. It may go on with that
 * data. When it has older data or none, it lost what it acknowledged since: this copy may lack that as well, so nobody goes on by itself.
 * Returns false when the reason to wait is another one.
 */
function waitsAsSecond(draft: Draft, peer: NodeReport): boolean {
  const { state } = draft;
  const order = state.settings.replicated ? compareLineages(state.durable.lineage, peer.lineage) : 'second-newer';
  if (order === 'both-empty' || order === 'diverged') return false;
  const mayLead = order === 'second-newer' || (order === 'same' && peer.condition === 'uptodate');
  block(draft, reason(mayLead ? 'secondOnly' : 'noGoodCopy', { peer: peer.node }));
  return true;
}

function besideIdle(draft: Draft, peer: NodeReport): void {
  const { state } = draft;
  if (state.intent === 'prim') {
    if (peer.claiming && peer.node < state.settings.node) {
      draft.state = changed(state, { intent: 'decide' });
      return hold(draft, reason('peerChosen', { peer: peer.node }));
    }
    return declareBeside(draft, peer);
  }
  if (peer.claiming) return hold(draft, reason('peerChosen', { peer: peer.node }));
  if (state.intent === 'second' && waitsAsSecond(draft, peer)) return;
  if (!state.settings.replicated) return beforeEqual(draft, peer);
  switch (compareLineages(state.durable.lineage, peer.lineage)) {
    case 'both-empty':
      return block(draft, reason('notUptodateFirstStart'));
    case 'diverged':
      return block(draft, reason('splitBrainWaiting'));
    case 'first-newer':
      return canLead(state)
        ? goOnBeside(draft, peer, reason('newerThanPeer', { peer: peer.node }))
        : block(draft, reason('noGoodCopy', { peer: peer.node }));
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
    if (!theirsGood) return block(draft, reason('noGoodCopy', { peer: peer.node }));
    return isStopped(peer)
      ? block(draft, reason('peerStoppedNewer', { peer: peer.node }))
      : hold(draft, reason('peerChosen', { peer: peer.node }));
  }
  if (isStopped(peer) || !theirsGood || goesFirst(state, peer)) {
    return goOnBeside(draft, peer, reason(isStopped(peer) ? 'peerStoppedSame' : 'sameAsPeer', { peer: peer.node }));
  }
  return hold(draft, reason('peerChosen', { peer: peer.node }));
}
