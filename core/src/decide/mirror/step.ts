/**
 * The mirror automaton: one event in, the next state, the actions to run and the reasons out. Pure: same state and same event give the same
 * transition on every machine. A fact is absorbed first; then the sequence under way is driven as far as it goes without waiting; and when
 * none is under way, the next command or the rules of the present phase may begin one.
 */
import { AGREEMENT_EMPTY } from '../../model/arbitration.js';
import { compareLineages, LINEAGE_EMPTY } from '../../model/generation.js';
import { reason, type Reason } from '../../model/reason.js';
import type { NodeReport } from '../../model/report.js';
import { createDetector, detectorHeard, detectorTick, isAlive, isLost } from '../detector.js';
import { RULE_FACTS_EMPTY } from '../../model/rules.js';
import { RULE_PROGRESS_EMPTY } from '../rules/progress.js';
import { adoptAgreement, mustAsk } from './agreement.js';
import { askWitness, takeAnswer } from './claim.js';
import { takeCommand } from './commands.js';
import { changed, clocked, copyOf, sequenceAt, withSequence } from './copy.js';
import { become, explain, issue, type Draft } from './draft.js';
import { beginAutomatic } from './loop-counter.js';
import { canWithdraw, decidePrimary } from './primary.js';
import { absorbResource } from './resources.js';
import { decideSecond } from './second.js';
import { beginRecord, beginStop, beginWait, unprepared, yielding } from './sequences.js';
import { takeSettings } from './settings.js';
import { decideWait } from './wait.js';
import type { Action, Durable, MirrorEvent, MirrorSettings, MirrorState, Sequence, Step, Transition } from './types.js';

/** Steps of one transition; more means a loop in the rules. */
const TURNS_MAX = 100;
const RETRY_BLOCKED_MS = 10_000;

export function durableAtFirst(replicated: boolean): Durable {
  return {
    lineage: LINEAGE_EMPTY,
    condition: replicated ? 'outdated' : 'none',
    lastRole: 'none',
    forkedAs: 'none',
    peerOutdated: false,
    peerBase: '',
    started: false,
    agreement: AGREEMENT_EMPTY,
    followed: false,
    yielded: false,
    formerPrimary: false,
    loop: { count: 0, sinceWallMs: 0 },
  };
}

export function createMirror(settings: MirrorSettings, durable: Durable, clock: { nowMs: number; wallMs: number }): MirrorState {
  return {
    settings,
    phase: 'STOP',
    quality: 'NotReady',
    reason: reason('configured'),
    durable,
    detector: createDetector(settings.heartbeatTimeoutMs, clock.nowMs),
    replication: { role: 'stopped', link: 'none', inconsistent: false },
    witness: { reachable: false },
    groups: [],
    addresses: 'released',
    addressesObserved: 'unknown',
    resources: {},
    ruleFacts: RULE_FACTS_EMPTY,
    ruleProgress: RULE_PROGRESS_EMPTY,
    failoverSuspended: false,
    queue: [],
    intent: 'decide',
    forced: false,
    fromImage: false,
    handingOver: false,
    withdrawn: false,
    blockedUntilMs: 0,
    armIssuedMs: Number.MIN_SAFE_INTEGER,
    offered: 0,
    startedMs: clock.nowMs,
    successor: false,
    connectIssuedMs: Number.MIN_SAFE_INTEGER,
    nextActionId: 1,
    nowMs: clock.nowMs,
    wallMs: clock.wallMs,
    freshGeneration: '',
  };
}

export function step(state: MirrorState, event: MirrorEvent): Transition {
  // Whatever event comes first after a sleep must notice it: silence that was our own is nobody's death.
  const detector = detectorTick(state.detector, event.nowMs);
  const draft: Draft = { state: clocked(state, event, detector), actions: [], reasons: [] };
  absorb(draft, event);
  for (let turn = 0; ; turn += 1) {
    if (turn === TURNS_MAX) throw new Error(`the mirror automaton does not come to rest in ${draft.state.phase}`);
    const before = draft.state;
    if (draft.state.sequence !== undefined) drive(draft, draft.state.sequence);
    else if (!takeCommand(draft)) decide(draft);
    if (draft.state === before || draft.state.sequence?.waitingFor !== undefined) break;
    if (draft.state.sequence === undefined && before.sequence === undefined && draft.state.queue.length === 0) break;
  }
  assertInvariants(draft.state);
  return draft;
}

function absorb(draft: Draft, event: MirrorEvent): void {
  const { state } = draft;
  switch (event.kind) {
    case 'tick':
      return;
    case 'heartbeat': {
      const detector = detectorHeard(state.detector, event.link, event.receivedMs, event.agentTickAgeMs, event.goodbye);
      const heard = copyOf(state);
      heard.detector = detector;
      if (event.report !== undefined) heard.peer = event.report;
      draft.state = heard;
      return;
    }
    case 'replication':
      draft.state = changed(state, { replication: event.facts });
      return;
    case 'witness':
      draft.state = changed(state, { witness: event.facts });
      return;
    case 'resource':
      absorbResource(draft, event);
      return;
    case 'ruleFacts':
      draft.state = changed(state, { ruleFacts: event.facts });
      return;
    case 'failoverSwitch':
      draft.state = changed(state, { failoverSuspended: event.suspended });
      return;
    case 'addresses':
      draft.state = changed(state, { addressesObserved: event.observed });
      return;
    case 'operator':
      draft.state = changed(state, { queue: [...state.queue, event.command] });
      return;
    case 'settings':
      draft.state = takeSettings(state, event.settings, event.facts);
      return;
    case 'actionDone':
      if (!takeAnswer(draft, event)) actionDone(draft, event.id, event.error);
      return;
  }
}

/** The outcome of the awaited action: go on, or let the sequence's `onAbort` decide. Others (connectPeer) are not awaited. */
function actionDone(draft: Draft, id: number, error: string | undefined): void {
  const { sequence } = draft.state;
  const current = sequence?.steps[sequence.at];
  if (sequence?.waitingFor !== id || current?.kind !== 'act') return;
  const { action } = current;
  if (error === undefined) {
    if (action.kind === 'persist') draft.state = changed(draft.state, { durable: action.durable });
    if (action.kind === 'acquireAddresses') draft.state = changed(draft.state, { addresses: 'acquired', addressesObserved: 'held' });
    if (action.kind === 'releaseAddresses') draft.state = changed(draft.state, { addresses: 'released', addressesObserved: 'unknown' });
    return advance(draft, sequence);
  }
  const why =
    action.kind === 'probeAddresses'
      ? reason('addressTaken', { error })
      : reason('stepFailed', { step: action.kind === 'script' ? action.script : action.kind, error });
  explain(draft, why);
  if (current.onFailure === 'continue') return advance(draft, sequence);
  abort(draft, sequence, why);
}

function advance(draft: Draft, sequence: Sequence): void {
  draft.state = withSequence(draft.state, sequenceAt(sequence, sequence.at + 1, draft.state.nowMs));
}

function endSequence(draft: Draft): void {
  draft.state = withSequence(draft.state, undefined);
}

function abort(draft: Draft, sequence: Sequence, why: Reason): void {
  endSequence(draft);
  switch (sequence.onAbort) {
    case 'toStop':
      return beginStop(draft, why);
    case 'toWait':
      if (why.code === 'addressTaken') {
        draft.state = changed(draft.state, { quality: 'NotReady', blockedUntilMs: draft.state.nowMs + RETRY_BLOCKED_MS });
        return;
      }
      return canWithdraw(draft.state) ? beginAutomatic(draft, 'withdraw', why) : beginAutomatic(draft, 'stopstart', why);
    case 'ignore':
      return settle(draft, sequence);
  }
}

function settle(draft: Draft, sequence: Sequence): void {
  endSequence(draft);
  draft.state = changed(draft.state, { quality: sequence.settle.quality, handingOver: false });
  if (draft.state.reason !== sequence.settle.reason) explain(draft, sequence.settle.reason);
}

/** A restart may be over before it matters; one that goes on may wait for what only a decision after it would release. */
function blocksOnHeldWrites({ nowMs, settings }: MirrorState, sequence: Sequence): boolean {
  return sequence.leaving || (sequence.name === 'restart' && nowMs - sequence.stepSinceMs >= settings.heartbeatTimeoutMs);
}

/** Runs the sequence's next step. A start that is overtaken by an operator's stop ends between two steps. */
function drive(draft: Draft, sequence: Sequence): void {
  if (sequence.refused !== true && draft.state.replication.link === 'holding' && blocksOnHeldWrites(draft.state, sequence)) {
    // The link broke while the application was being stopped: a process that waits for a held write can neither end nor be killed.
    issue(draft, { kind: 'refuse' });
    draft.state = changed(draft.state, { sequence: { ...sequence, refused: true } });
    return;
  }
  if (sequence.waitingFor !== undefined) return;
  const stop = draft.state.queue.find((command) => command.verb === 'stop');
  if (stop !== undefined && !sequence.leaving) {
    endSequence(draft);
    return beginStop(draft, reason(stop.shutdown ? 'shutdown' : 'operatorStop'), draft.state.durable, stop.shutdown);
  }
  if (sequence.refused === true && !sequence.leaving) {
    // An application that was refused writes starts anew, by whoever the nodes agree on; nothing was acknowledged meanwhile.
    const { settings, replication } = draft.state;
    const why = reason('linkLost', { peer: settings.peer, cause: replication.failure ?? 'connection closed' });
    endSequence(draft);
    return beginWait(draft, why, { action: 'stopstart', keepsRole: true });
  }
  const current = sequence.steps[sequence.at];
  if (current === undefined) return settle(draft, sequence);
  runStep(draft, sequence, current);
}

/** A partial copy is neither put back to what it was before nor insisted on. */
function promotesPartial({ replication }: MirrorState, action: Action): boolean {
  return action.kind === 'becomePrimary' && action.force !== true && action.image !== true && replication.inconsistent;
}

function runStep(draft: Draft, sequence: Sequence, current: Step): void {
  switch (current.kind) {
    case 'act': {
      if (promotesPartial(draft.state, current.action)) {
        return abort(draft, sequence, reason('notUptodateInconsistent', { peer: draft.state.settings.peer }));
      }
      const id = issue(draft, current.action);
      draft.state = withSequence(draft.state, sequenceAt(sequence, sequence.at, sequence.stepSinceMs, id));
      return;
    }
    case 'enter':
      become(draft, current.phase, current.quality);
      // What the operator wanted of WAIT has come true; a probe that failed before would have left it standing.
      if (current.phase === 'ALONE' || current.phase === 'SECOND') draft.state = changed(draft.state, { intent: 'decide' });
      else draft.state = changed(draft.state, { withdrawn: false });
      if (current.phase !== 'WAIT') draft.state = changed(draft.state, { blockedBy: undefined, successor: false });
      return advance(draft, sequence);
    case 'groups':
      draft.state = changed(draft.state, { groups: current.groups });
      return advance(draft, sequence);
    case 'awaitPeerOutdated':
      return awaitPeerOutdated(draft, sequence, current.before);
    case 'awaitGrant':
      return awaitGrant(draft, sequence, current.from, current.generation);
    case 'awaitPeerPrimary':
      return awaitPeerPrimary(draft, sequence, current.limitMs);
  }
}

/**
 * The held writes may go on once the peer cannot take over with what it has: it said so, has left, or is dead. A peer that took over
 * already
 * (this node slept, and learned of the broken link first) is right: nothing was acknowledged in our new generation, so it never was.
 */
function awaitPeerOutdated(draft: Draft, sequence: Sequence, before: Durable): void {
  const { state } = draft;
  const { peer, detector, durable, settings } = state;
  if (peer !== undefined && compareLineages(before.lineage, peer.lineage) === 'second-newer') return deposed(draft, peer.node);
  const heard = isAlive(detector, state.nowMs) && peer !== undefined;
  if (heard && isOtherReign(before, peer)) {
    endSequence(draft);
    return beginWait(draft, reason('splitBrain', { peer: peer.node }), { action: 'splitbrain' });
  }
  const told = heard && peer.seenGeneration === durable.lineage.current && peer.condition !== 'uptodate';
  const idle = detector.goodbye || (heard && (peer.phase === 'STOP' || peer.phase === 'WAIT'));
  const left = idle && peer !== undefined && hasYielded(peer);
  if (told || left) return advance(draft, sequence);
  if (isLost(detector, state.nowMs)) {
    if (!mustAsk(state, before)) return advance(draft, sequence);
    const answer = askWitness(draft, before.lineage.current, durable.lineage.current);
    if (answer === 'granted') return advance(draft, sequence);
    if (answer === 'refused') return deposed(draft, draft.state.claim?.owner ?? settings.peer);
  }
  if (settings.witness !== 'none' && state.nowMs - sequence.stepSinceMs >= settings.undecidedLimitMs) undecided(draft, sequence);
}

/**
 * The peer serves changes of its own beside ours, because an operator told it to while this node slept. It leaves a primary that holds its
 * writes alone, see primary.ts: this one goes, whatever the policy for two that both serve is.
 */
function isOtherReign({ lineage }: Durable, peer: NodeReport): boolean {
  const reigns = (peer.phase === 'ALONE' || peer.phase === 'PRIM') && peer.link !== 'holding';
  return reigns && compareLineages(lineage, peer.lineage) === 'diverged';
}

/** Somebody else goes on: nothing was acknowledged in the new generation here, so it never was. */
function deposed(draft: Draft, by: string): void {
  endSequence(draft);
  const durable = yielding(unprepared(draft.state.durable));
  beginWait(draft, reason('deposed', { peer: by }), { durable, action: 'deposed' });
}

/** A primary that holds its writes, hears nobody and gets no answer. What it prepared stays: it may have been granted. */
function undecided(draft: Draft, sequence: Sequence): void {
  const fields = { peer: draft.state.settings.peer };
  if (draft.state.settings.undecided === 'continue') {
    explain(draft, reason('undecidedGoesOn', fields));
    return advance(draft, sequence);
  }
  endSequence(draft);
  beginWait(draft, reason('undecided', fields), { action: 'stopwait', keepsRole: true });
}

/** What it says now may be old; what it gave up durably stays given up until this node agrees to something else. */
function hasYielded(peer: NodeReport): boolean {
  return peer.yielded || peer.condition !== 'uptodate';
}

/** SECOND before a takeover, WAIT before it goes on: until the witness has answered, or the peer is heard again. */
function awaitGrant(draft: Draft, sequence: Sequence, from: string, generation: string): void {
  const { state } = draft;
  const { settings, detector } = state;
  const isAnswered = state.claim?.generation === generation && state.claim.answer === 'granted';
  // Another primary may have begun to copy meanwhile.
  if (state.replication.inconsistent) return endSequence(draft);
  if (!isAnswered && (isAlive(detector, state.nowMs) || state.queue.length > 0)) return endSequence(draft);
  if (state.phase === 'SECOND' && state.nowMs - sequence.stepSinceMs < settings.claimDelayMs) return;
  const answer = askWitness(draft, from, generation);
  if (answer === 'granted') return advance(draft, sequence);
  if (answer === 'refused') return notGranted(draft);
  if (state.nowMs - sequence.stepSinceMs < settings.undecidedLimitMs) return;
  const why = reason('undecided', { peer: settings.peer });
  if (state.phase === 'SECOND') {
    endSequence(draft);
    draft.state = changed(draft.state, { successor: true });
    beginWait(draft, why, { action: 'stopwait' });
  } else if (state.quality !== 'NotReady') {
    draft.state = changed(draft.state, { quality: 'NotReady' });
    explain(draft, why);
  }
}

function notGranted(draft: Draft): void {
  const { settings, claim, phase } = draft.state;
  endSequence(draft);
  draft.state = changed(draft.state, { successor: false });
  const why = reason('notGranted', { peer: settings.peer, owner: claim?.owner ?? settings.peer });
  const { claim: _claim, ...durable } = unprepared(draft.state.durable);
  if (phase === 'SECOND') return beginWait(draft, why, { durable: yielding(durable), action: 'stopwait' });
  beginRecord(draft, yielding(durable), 'NotReady', why);
}

function awaitPeerPrimary(draft: Draft, sequence: Sequence, limitMs: number): void {
  const { state } = draft;
  const { peer } = state;
  if (peer !== undefined && (peer.phase === 'ALONE' || peer.phase === 'PRIM') && isAlive(state.detector, state.nowMs)) {
    return advance(draft, sequence);
  }
  if (state.nowMs - sequence.stepSinceMs < limitMs && isAlive(state.detector, state.nowMs)) return;
  explain(draft, reason('swapUnanswered', { peer: state.settings.peer, limitMs }));
  advance(draft, sequence);
}

function decide(draft: Draft): void {
  switch (draft.state.phase) {
    case 'STOP':
      if (draft.state.peer !== undefined) adoptAgreement(draft, draft.state.peer);
      return;
    case 'UP':
      return;
    case 'WAIT':
      return decideWait(draft);
    case 'ALONE':
    case 'PRIM':
      return decidePrimary(draft);
    case 'SECOND':
      return decideSecond(draft);
  }
}

/** What must never be, whatever happened before. Checked in production: a wrong decision is worse than a stopped agent. */
function assertInvariants(state: MirrorState): void {
  const primary = state.phase === 'ALONE' || state.phase === 'PRIM';
  if (primary && state.settings.replicated) {
    if (state.durable.condition !== 'uptodate') throw new Error(`invariant: ${state.phase} on data that is ${state.durable.condition}`);
    if (state.durable.lastRole !== 'primary' && !state.handingOver)
      throw new Error(`invariant: ${state.phase} without the primary role on disk`);
  }
  if (state.phase === 'SECOND' && state.groups.includes('prim')) throw new Error('invariant: start_prim is running on a secondary');
  if (state.phase === 'STOP' && state.sequence === undefined && state.groups.length > 0)
    throw new Error('invariant: scripts are running in STOP');
}
