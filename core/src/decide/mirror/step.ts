/**
 * The mirror automaton: one event in, the next state, the actions to run and the reasons out. Pure: same state and same event give the same
 * transition on every machine. A fact is absorbed first; then the sequence under way is driven as far as it goes without waiting; and when
 * none is under way, the next command or the rules of the present phase may begin one.
 */
import { compareLineages, LINEAGE_EMPTY } from '../../model/generation.js';
import { reason, type Reason } from '../../model/reason.js';
import { createDetector, detectorHeard, detectorTick, isAlive, isLost } from '../detector.js';
import { takeCommand } from './commands.js';
import { become, explain, issue, type Draft } from './draft.js';
import { beginAutomatic } from './loop-counter.js';
import { canWithdraw, decidePrimary } from './primary.js';
import { decideSecond } from './second.js';
import { beginStop, beginWait } from './sequences.js';
import { decideWait } from './wait.js';
import type { Durable, MirrorEvent, MirrorSettings, MirrorState, Sequence, Step, Transition } from './types.js';

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
    groups: [],
    addresses: 'released',
    addressesObserved: 'unknown',
    resources: {},
    queue: [],
    intent: 'decide',
    handingOver: false,
    withdrawn: false,
    blockedUntilMs: 0,
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
  const clocked = { ...state, detector, nowMs: event.nowMs, wallMs: event.wallMs, freshGeneration: event.freshGeneration };
  const draft: Draft = { state: clocked, actions: [], reasons: [] };
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
      draft.state = { ...state, detector, ...(event.report === undefined ? {} : { peer: event.report }) };
      return;
    }
    case 'replication':
      draft.state = { ...state, replication: event.facts };
      return;
    case 'resource': {
      const { value, detail, action } = event;
      draft.state = { ...state, resources: { ...state.resources, [event.name]: { value, detail, action } } };
      return;
    }
    case 'addresses':
      draft.state = { ...state, addressesObserved: event.observed };
      return;
    case 'operator':
      draft.state = { ...state, queue: [...state.queue, event.command] };
      return;
    case 'actionDone':
      return actionDone(draft, event.id, event.error);
  }
}

/** The outcome of the awaited action: go on, or let the sequence's `onAbort` decide. Others (connectPeer) are not awaited. */
function actionDone(draft: Draft, id: number, error: string | undefined): void {
  const { sequence } = draft.state;
  const current = sequence?.steps[sequence.at];
  if (sequence?.waitingFor !== id || current?.kind !== 'act') return;
  const { action } = current;
  if (error === undefined) {
    if (action.kind === 'persist') draft.state = { ...draft.state, durable: action.durable };
    if (action.kind === 'acquireAddresses') draft.state = { ...draft.state, addresses: 'acquired', addressesObserved: 'held' };
    if (action.kind === 'releaseAddresses') draft.state = { ...draft.state, addresses: 'released', addressesObserved: 'unknown' };
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
  const { waitingFor: _done, ...rest } = sequence;
  draft.state = { ...draft.state, sequence: { ...rest, at: sequence.at + 1, stepSinceMs: draft.state.nowMs } };
}

function endSequence(draft: Draft): void {
  const { sequence: _ended, ...rest } = draft.state;
  draft.state = rest;
}

function abort(draft: Draft, sequence: Sequence, why: Reason): void {
  endSequence(draft);
  switch (sequence.onAbort) {
    case 'toStop':
      return beginStop(draft, why);
    case 'toWait':
      if (why.code === 'addressTaken') {
        draft.state = { ...draft.state, quality: 'NotReady', blockedUntilMs: draft.state.nowMs + RETRY_BLOCKED_MS };
        return;
      }
      return canWithdraw(draft.state) ? beginAutomatic(draft, 'withdraw', why) : beginAutomatic(draft, 'stopstart', why);
    case 'ignore':
      return settle(draft, sequence);
  }
}

function settle(draft: Draft, sequence: Sequence): void {
  endSequence(draft);
  draft.state = { ...draft.state, quality: sequence.settle.quality, handingOver: false };
  if (draft.state.reason !== sequence.settle.reason) explain(draft, sequence.settle.reason);
}

/** Runs the sequence's next step. A start that is overtaken by an operator's stop ends between two steps. */
function drive(draft: Draft, sequence: Sequence): void {
  if (sequence.leaving && sequence.refused !== true && draft.state.replication.link === 'holding') {
    // The link broke while the application was being stopped: a process that waits for a held write can neither end nor be killed.
    issue(draft, { kind: 'refuse' });
    draft.state = { ...draft.state, sequence: { ...sequence, refused: true } };
    return;
  }
  if (sequence.waitingFor !== undefined) return;
  const stop = draft.state.queue.find((command) => command.verb === 'stop');
  if (stop !== undefined && !sequence.leaving) {
    endSequence(draft);
    return beginStop(draft, reason(stop.shutdown ? 'shutdown' : 'operatorStop'), draft.state.durable, stop.shutdown);
  }
  const current = sequence.steps[sequence.at];
  if (current === undefined) return settle(draft, sequence);
  runStep(draft, sequence, current);
}

function runStep(draft: Draft, sequence: Sequence, current: Step): void {
  switch (current.kind) {
    case 'act': {
      const id = issue(draft, current.action);
      draft.state = { ...draft.state, sequence: { ...sequence, waitingFor: id } };
      return;
    }
    case 'enter':
      become(draft, current.phase, current.quality);
      // What the operator wanted of WAIT has come true; a probe that failed before would have left it standing.
      if (current.phase === 'ALONE' || current.phase === 'SECOND') draft.state = { ...draft.state, intent: 'decide' };
      else draft.state = { ...draft.state, withdrawn: false };
      return advance(draft, sequence);
    case 'groups':
      draft.state = { ...draft.state, groups: current.groups };
      return advance(draft, sequence);
    case 'awaitPeerOutdated':
      return awaitPeerOutdated(draft, sequence, current.before);
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
  const { peer, detector, durable } = state;
  if (peer !== undefined && compareLineages(before.lineage, peer.lineage) === 'second-newer') {
    endSequence(draft);
    return beginWait(draft, reason('deposed', { peer: peer.node }), { durable: { ...before, loop: durable.loop }, action: 'deposed' });
  }
  const heard = isAlive(detector, state.nowMs) && peer !== undefined;
  const told = heard && peer.seenGeneration === durable.lineage.current && peer.condition !== 'uptodate';
  const left = heard && (peer.phase === 'STOP' || peer.phase === 'WAIT');
  if (told || left || isLost(detector, state.nowMs)) advance(draft, sequence);
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
