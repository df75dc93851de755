/**
 * The sequences of the mirror automaton: what is done, in which order, on the way from one phase to another. Two rules hold in all of them.
 * Persist before you speak: a new generation, an outdated or a partial copy is durable before the peer or a client can notice. And the old
 * side has ended before the new side begins: scripts, then addresses, then the file system on the way down; the reverse on the way up.
 */
import { beginGeneration } from '../../model/generation.js';
import { reason, type Reason } from '../../model/reason.js';
import type { Phase } from '../../model/state.js';
import { act, begin, enter, persist, type Draft } from './draft.js';
import { checksStep, GROUPS_OF, scriptStep, startGroups, stopGroups } from './scripts.js';
import type { Durable, MirrorState, Step, Term } from './types.js';

export function termOf(durable: Durable): Term {
  return { generation: durable.lineage.current, epoch: durable.lineage.epoch };
}

/** A new reign without the peer: its present generation becomes the base from which the journal counts. */
export function forked(state: MirrorState, as: 'primary' | 'secondary'): Durable {
  const { durable } = state;
  return {
    ...durable,
    lineage: beginGeneration(durable.lineage, state.freshGeneration, state.peer?.lineage.epoch ?? 0),
    condition: state.settings.replicated ? 'uptodate' : 'none',
    lastRole: 'primary',
    forkedAs: as,
    peerOutdated: true,
    peerBase: durable.lineage.current,
  };
}

/** What takes a module off the node, in order: scripts and their checks, addresses, file system. */
function takeDown(state: MirrorState, target: readonly ('both' | 'prim' | 'second' | 'sec')[], to: Phase, action: string): Step[] {
  const steps: Step[] = [];
  // A process that waits for a held write cannot be killed: answer those writes with an error first.
  if (state.replication.link === 'holding') steps.push(act({ kind: 'refuse' }, 'continue'));
  steps.push(...stopGroups(state.groups, target, state.phase, to, action));
  if (state.settings.hasAddresses && state.addresses === 'acquired') steps.push(act({ kind: 'releaseAddresses' }, 'continue'));
  if (state.settings.replicated) {
    steps.push(act({ kind: 'stopReplica', force: false }, 'continue'), act({ kind: 'stopReplica', force: true }, 'continue'));
  }
  return steps;
}

export function beginStart(draft: Draft, why: Reason, durable: Durable): void {
  const steps: Step[] = [
    persist({ ...durable, started: true }),
    enter('WAIT'),
    scriptStep('transition', 'STOP', 'WAIT', 'start'),
    scriptStep('prestart', 'STOP', 'WAIT', 'start', false, 'abort'),
    checksStep('startChecks', 'pre'),
  ];
  const settle = { quality: 'Transient', reason: reason('waitingForPeer', { peer: draft.state.settings.peer }) } as const;
  begin(draft, { name: 'start', steps, onAbort: 'toStop', settle, leaving: false }, why);
}

export function beginStop(draft: Draft, why: Reason, durable: Durable = draft.state.durable, shutdown = false): void {
  const { state } = draft;
  const steps: Step[] = [
    ...takeDown(state, [], 'STOP', 'stop'),
    checksStep('stopChecks', 'pre'),
    scriptStep('poststop', state.phase, 'STOP', 'stop'),
    scriptStep('transition', state.phase, 'STOP', 'stop'),
    // A disk that fails must not keep a module from ending.
    act({ kind: 'persist', durable: { ...durable, started: shutdown && durable.started } }, 'continue'),
    enter('STOP', 'NotReady'),
  ];
  draft.state = { ...state, handingOver: true, intent: 'decide', queue: [] };
  begin(draft, { name: 'stop', steps, onAbort: 'ignore', settle: { quality: 'NotReady', reason: why }, leaving: true }, why);
}

/** Leaves the present role and decides anew; the peer may take over meanwhile. */
export function beginWait(draft: Draft, why: Reason, options: { durable?: Durable; action: string; blockedMs?: number }): void {
  const { state } = draft;
  const steps: Step[] = [
    ...(options.durable === undefined ? [] : [act({ kind: 'persist' as const, durable: options.durable }, 'continue')]),
    ...takeDown(state, [], 'WAIT', options.action),
    scriptStep('transition', state.phase, 'WAIT', options.action),
    enter('WAIT'),
  ];
  draft.state = { ...state, handingOver: true, intent: 'decide', blockedUntilMs: state.nowMs + (options.blockedMs ?? 0) };
  begin(draft, { name: options.action, steps, onAbort: 'ignore', settle: { quality: 'Transient', reason: why }, leaving: true }, why);
}

/**
 * The application does not start here, but this node has the newest data: without it the peer could not go on. Everything of the
 * application is taken down, the file system stays, and the peer is brought up to date; then it takes over.
 */
export function beginWithdraw(draft: Draft, why: Reason, durable: Durable): void {
  const { state } = draft;
  const steps: Step[] = [
    act({ kind: 'persist', durable }, 'continue'),
    ...stopGroups(state.groups, [], 'ALONE', 'ALONE', 'withdraw'),
    ...(state.settings.hasAddresses && state.addresses === 'acquired' ? [act({ kind: 'releaseAddresses' }, 'continue')] : []),
  ];
  draft.state = { ...state, withdrawn: true };
  begin(draft, { name: 'withdraw', steps, onAbort: 'ignore', settle: { quality: 'NotReady', reason: why }, leaving: false }, why);
}

/** WAIT to ALONE. `declared`: the operator's `prim`, which makes this copy the good one whatever its history. */
export function beginAlone(draft: Draft, why: Reason, declared: boolean): void {
  const { state } = draft;
  // A last primary whose peer is already outdated goes on in its generation: its journal counts from the same base.
  const durable = state.durable.peerOutdated && !declared ? { ...state.durable, lastRole: 'primary' as const } : forked(state, 'primary');
  const fresh = declared || durable.peerBase === '';
  const steps: Step[] = [
    ...(state.settings.hasAddresses ? [act({ kind: 'probeAddresses' })] : []),
    persist(durable),
    enter('ALONE'),
    ...(state.settings.replicated ? [act({ kind: 'becomePrimary', term: termOf(durable), base: durable.peerBase, fresh })] : []),
    ...serve(state, 'WAIT', 'start'),
  ];
  begin(draft, { name: 'alone', steps, onAbort: 'toWait', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

/** transition, addresses, start scripts, checks: the common end of every way to ALONE. */
function serve(state: MirrorState, from: Phase, action: string): Step[] {
  const kept = state.groups.filter((group) => GROUPS_OF.ALONE.includes(group));
  return [
    scriptStep('transition', from, 'ALONE', action),
    ...(state.settings.hasAddresses ? [act({ kind: 'acquireAddresses' })] : []),
    ...startGroups(kept, GROUPS_OF.ALONE, from, 'ALONE', action),
  ];
}

/** SECOND to ALONE: failover. Everything received is applied and the new generation is durable before the address moves. */
export function beginTakeover(draft: Draft, why: Reason): void {
  const { state } = draft;
  const durable = forked(state, 'secondary');
  const steps: Step[] = [
    persist(durable),
    enter('ALONE'),
    ...stopGroups(state.groups, GROUPS_OF.ALONE, 'SECOND', 'ALONE', 'alone'),
    ...(state.settings.replicated ? [act({ kind: 'becomePrimary', term: termOf(durable), base: durable.peerBase, fresh: false })] : []),
    ...serve(state, 'SECOND', 'alone'),
  ];
  begin(draft, { name: 'takeover', steps, onAbort: 'toWait', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

/** ALONE to PRIM: the peer is durably up to date in our generation. */
export function beginPrim(draft: Draft): void {
  const { state } = draft;
  const why = reason('peerSynchronised', { peer: state.settings.peer });
  const steps: Step[] = [
    persist({ ...state.durable, peerOutdated: false, forkedAs: 'none', peerBase: '' }),
    enter('PRIM'),
    ...stopGroups(state.groups, GROUPS_OF.PRIM, 'ALONE', 'PRIM', 'prim'),
    scriptStep('transition', 'ALONE', 'PRIM', 'prim'),
  ];
  begin(draft, { name: 'prim', steps, onAbort: 'ignore', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

/**
 * The primary goes on without its peer. Held writes are released only when the new generation is durable here and the peer either said that
 * it is outdated, or has left, or was silent for the whole heartbeat timeout.
 */
export function beginContinueAlone(draft: Draft, why: Reason): void {
  const { state } = draft;
  const durable = forked(state, 'primary');
  const steps: Step[] = [
    ...(state.settings.replicated ? [act({ kind: 'disconnectPeer' }, 'continue')] : []),
    persist(durable),
    enter('ALONE'),
    { kind: 'awaitPeerOutdated', before: state.durable },
    ...(state.settings.replicated ? [act({ kind: 'continueAlone', term: termOf(durable), base: durable.peerBase })] : []),
    ...(state.phase === 'PRIM' ? [scriptStep('transition', 'PRIM', 'ALONE', 'alone')] : []),
    ...startGroups(state.groups, GROUPS_OF.ALONE, state.phase, 'ALONE', 'alone'),
  ];
  begin(draft, { name: 'continue-alone', steps, onAbort: 'toWait', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

/** WAIT to SECOND. Not eligible for a takeover until a resync has finished: that is durable first. */
export function beginSecond(draft: Draft, why: Reason): void {
  const { state } = draft;
  const condition = state.settings.replicated ? (state.durable.condition === 'inconsistent' ? 'inconsistent' : 'outdated') : 'none';
  const durable: Durable = { ...state.durable, lastRole: 'secondary', condition, peerOutdated: false, forkedAs: 'none', peerBase: '' };
  const term = { generation: state.peer?.lineage.current ?? '', epoch: state.peer?.lineage.epoch ?? 0 };
  const steps: Step[] = [
    persist(durable),
    enter('SECOND'),
    ...(state.settings.replicated ? [act({ kind: 'becomeSecondary', term })] : []),
    scriptStep('transition', 'WAIT', 'SECOND', 'second'),
    ...startGroups(state.groups, GROUPS_OF.SECOND, 'WAIT', 'SECOND', 'second'),
  ];
  const settle = state.settings.replicated
    ? ({ quality: 'Transient', reason: reason('resynchronising', { peer: state.settings.peer }) } as const)
    : ({ quality: 'Ready', reason: why } as const);
  begin(draft, { name: 'second', steps, onAbort: 'toWait', settle, leaving: false }, why);
}

/** A small sequence that only makes something durable and settles in the same phase. */
export function beginRecord(draft: Draft, durable: Durable, quality: 'Transient' | 'Ready', why: Reason): void {
  begin(draft, { name: 'record', steps: [persist(durable)], onAbort: 'ignore', settle: { quality, reason: why }, leaving: false }, why);
}

/** Stop and start scripts of the present role, in place; addresses and file system stay. */
export function beginRestart(draft: Draft, why: Reason, durable: Durable): void {
  const { state } = draft;
  const steps: Step[] = [
    ...(durable === state.durable ? [] : [persist(durable)]),
    ...stopGroups(state.groups, [], state.phase, state.phase, 'restart'),
    ...startGroups([], GROUPS_OF[state.phase], state.phase, state.phase, 'restart'),
  ];
  const quality = state.phase === 'SECOND' ? state.quality : 'Ready';
  begin(draft, { name: 'restart', steps, onAbort: 'toWait', settle: { quality, reason: why }, leaving: false }, why);
}

/** PRIM hands over: ends its role in good order and waits for the peer to take over before it follows as secondary. */
export function beginSwap(draft: Draft, why: Reason): void {
  const { state } = draft;
  const { peer, swapLimitMs } = state.settings;
  const steps: Step[] = [
    ...takeDown(state, GROUPS_OF.SECOND, 'SECOND', 'swap'),
    persist({ ...state.durable, lastRole: 'secondary' }),
    enter('WAIT'),
    { kind: 'awaitPeerPrimary', limitMs: swapLimitMs },
  ];
  draft.state = { ...state, handingOver: true };
  const settle = { quality: 'Transient', reason: reason('waitingForPeer', { peer }) } as const;
  begin(draft, { name: 'swap', steps, onAbort: 'ignore', settle, leaving: true }, why);
}
