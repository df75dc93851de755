/**
 * What the nodes agree on for the moment when they lose each other, and what follows from it then. The rule of every change: whoever
 * loses a right gives it up durably before the other may use it.
 */
import type { Agreement } from '../../model/arbitration.js';
import { compareLineages } from '../../model/generation.js';
import { reason } from '../../model/reason.js';
import type { NodeReport } from '../../model/report.js';
import { isAlive } from '../detector.js';
import { changed } from './copy.js';
import { issue, type Draft } from './draft.js';
import { beginQuietRecord, nextNumber } from './sequences.js';
import type { DurableBefore, MirrorState } from './types.js';

const ARM_AGAIN_MS = 2000;

/** Whether this node needs a grant to go on without its peer, when the peer may have everything that it has. */
export function mustAsk(state: MirrorState, standing: DurableBefore = state.durable.before ?? state.durable): boolean {
  const { witness } = state.settings;
  return witness === 'weak' || (witness === 'strong' && !isHolder(state, standing));
}

/** Whether a secondary of this module takes over by itself: configured so, and not suspended by an operator. */
export function failsOver({ settings, failoverSuspended }: MirrorState): boolean {
  return settings.failover && !failoverSuspended;
}

/** It is agreed that this node goes on, and the other does not. */
export function isHolder({ settings, durable }: MirrorState, standing: DurableBefore = durable.before ?? durable): boolean {
  const { mode, holder, settled } = standing.agreement;
  return !standing.yielded && mode === 'primary-only' && holder === settings.node && settled;
}

/** Whether a grant is possible at all: who adopted that only the other goes on does not even ask. */
export function mayAsk(state: MirrorState, standing: DurableBefore = state.durable.before ?? state.durable): boolean {
  const { witness, node } = state.settings;
  const { mode, holder, bound } = standing.agreement;
  return witness === 'weak' || (witness === 'strong' && bound !== true && (mode === 'witness' || holder === node));
}

function isAdopted(mine: Agreement, theirs: Agreement): boolean {
  return theirs.number === mine.number && theirs.mode === mine.mode && theirs.holder === mine.holder;
}

/**
 * The primary of a pair offers what suits the moment: the witness when both nodes reach it and it knows the present generation, otherwise
 * that only the primary goes on. Returns true when something has to be made durable first.
 */
export function offerAgreement(draft: Draft, peer: NodeReport): boolean {
  const { state } = draft;
  const { settings, durable, witness } = state;
  if (settings.witness !== 'strong') return false;
  const present = durable.agreement;
  const isArmed = witness.record?.generation === durable.lineage.current && witness.partial !== true;
  const bothReach = witness.reachable && peer.witness === 'up';
  const wanted = bothReach && isArmed && failsOver(state) ? 'witness' : 'primary-only';
  if (isAdopted(present, peer.agreement)) {
    if (!present.settled) return settle(draft, present);
    // Only while nobody else may ask: what is asked for counts on this record.
    if (present.mode === 'primary-only' && bothReach && !isArmed && failsOver(state)) arm(draft);
    if (present.mode === wanted) return false;
  } else if (peer.agreement.number < present.number) {
    // The present offer is on its way.
    return false;
  }
  const epoch = wanted === 'witness' ? (witness.record?.epoch ?? 0) : present.epoch;
  const offered = { number: nextNumber(state), mode: wanted, holder: settings.node, settled: false, epoch } as const;
  beginQuietRecord(draft, { ...durable, agreement: offered });
  return true;
}

function settle(draft: Draft, present: Agreement): true {
  const { settings, durable } = draft.state;
  const why = reason(present.mode === 'witness' ? 'agreedWitness' : 'agreedPrimaryOnly', { peer: settings.peer, node: settings.node });
  const { bound: _free, ...kept } = present;
  beginQuietRecord(draft, { ...durable, agreement: { ...kept, settled: true } }, why);
  return true;
}

/**
 * A node that runs alone without having asked (its peer handed over, or was known to be outdated) says so to the witness when it can, so
 * that nobody else is told later that he may go on.
 */
export function armAlone(draft: Draft): void {
  const { settings, durable, witness } = draft.state;
  if (settings.witness !== 'strong' || !witness.reachable || contradicts(draft.state)) return;
  if (witness.record?.generation !== durable.lineage.current || witness.partial === true) arm(draft);
}

/** The witness knows a generation that did not come before the one of this node. */
export function contradicts({ witness, durable }: MirrorState): boolean {
  const { current, history } = (durable.before ?? durable).lineage;
  const known = witness.record?.generation;
  return known !== undefined && known !== current && known !== durable.lineage.current && !history.includes(known);
}

/** The record follows the generation of the primary. Its epoch grows, so that a late copy of this request cannot undo a grant. */
function arm(draft: Draft): void {
  const { state } = draft;
  if (state.nowMs - state.armIssuedMs < ARM_AGAIN_MS) return;
  const epoch = (state.witness.record?.epoch ?? 0) + 1;
  issue(draft, { kind: 'armWitness', record: { generation: state.durable.lineage.current, owner: state.settings.node, epoch } });
  draft.state = changed(draft.state, { armIssuedMs: state.nowMs });
}

/**
 * The other node's offer is adopted when it is newer than anything known here; of two offers with one number the one of the smaller name
 * counts. Returns true when it has to be made durable first.
 */
export function adoptAgreement(draft: Draft, peer: NodeReport): boolean {
  const { state } = draft;
  const { settings, durable } = state;
  if (!isAlive(state.detector, state.nowMs)) return false;
  const [mine, theirs] = [durable.agreement, peer.agreement];
  if (theirs.holder !== peer.node) return false;
  // It offers to go on from data that this node knows to be old: it has not heard of that yet.
  const order = compareLineages((durable.before ?? durable).lineage, peer.lineage);
  if (order === 'first-newer' || order === 'diverged') return false;
  const isNewer =
    theirs.number > mine.number ||
    (theirs.number === mine.number && mine.holder === settings.node && !mine.settled && peer.node < settings.node);
  if (!isNewer) return false;
  beginQuietRecord(draft, { ...durable, agreement: { ...theirs, settled: true } });
  return true;
}

/**
 * Two nodes with the same data, none of them primary: this one is to go on. It may as soon as the other has durably agreed since this one
 * was started; hearing the other is not enough, because the other may not hear this one. Returns true when it may go on now.
 */
export function isAgreed(draft: Draft, peer: NodeReport): boolean {
  const { state } = draft;
  const { settings, durable } = state;
  const { agreement } = durable;
  const isMine = agreement.mode === 'primary-only' && agreement.holder === settings.node;
  if (isMine && isAdopted(agreement, peer.agreement) && agreement.number === state.offered) return true;
  // The present offer is on its way; one that the peer's own number has overtaken is repeated under a newer one.
  if (isMine && !agreement.settled && peer.agreement.number < agreement.number) return false;
  const { epoch } = agreement;
  const offer = { number: nextNumber(state), mode: 'primary-only', holder: settings.node, settled: false, epoch } as const;
  // An offer gives nothing: who had agreed not to ask the witness does not ask until the other has adopted this.
  const offered = mayAsk(state, durable) ? offer : { ...offer, bound: true as const };
  draft.state = changed(state, { offered: offered.number });
  beginQuietRecord(draft, { ...durable, agreement: offered });
  return false;
}

/**
 * An old agreement is enough for a start when the peer, heard for the whole timeout since, does not contradict: it may be deaf. What was
 * heard before that may be from before an operator's `prim` there.
 */
export function isHolderStill(state: MirrorState): boolean {
  const { detector, startedMs, settings } = state;
  const since = Math.max(detector.sinceMs, startedMs) + settings.heartbeatTimeoutMs;
  return isHolder(state) && Object.values(detector.heardMs).some((at) => at >= since);
}
