/**
 * The sequences of the mirror automaton: what is done, in which order, on the way from one phase to another. Two rules hold in all of them.
 * Persist before you speak: a new generation, an outdated or a partial copy is durable before the peer or a client can notice. And the old
 * side has ended before the new side begins: scripts, then addresses, then the file system on the way down; the reverse on the way up.
 */
import { beginGeneration } from '../../model/generation.js';
import { reason, type Reason } from '../../model/reason.js';
import type { Phase, Quality } from '../../model/state.js';
import { forgetAnswer } from './claim.js';
import { changed } from './copy.js';
import { act, begin, enter, issue, persist, type Draft } from './draft.js';
import { checksStep, GROUPS_OF, scriptStep, startGroups, stopGroups } from './scripts.js';
import type { Durable, MirrorState, Step, Term } from './types.js';

export function termOf(durable: Durable): Term {
  return { generation: durable.lineage.current, epoch: durable.lineage.epoch };
}

/** A new reign without the peer: its present generation becomes the base from which the journal counts. */
export function forked(state: MirrorState, as: 'primary' | 'secondary'): Durable {
  const durable = unprepared(state.durable);
  const { claim, ...kept } = durable;
  // A claim that was sent and never answered may have been granted: the generation must be that one.
  const generation = claim?.from === durable.lineage.current ? claim.generation : state.freshGeneration;
  return {
    ...kept,
    lineage: beginGeneration(durable.lineage, generation, state.peer?.lineage.epoch ?? 0),
    condition: state.settings.replicated ? 'uptodate' : 'none',
    lastRole: 'primary',
    forkedAs: as,
    peerOutdated: true,
    peerBase: durable.lineage.current,
    agreement: {
      number: nextNumber(state),
      mode: 'primary-only',
      holder: state.settings.node,
      settled: true,
      epoch: durable.agreement.epoch,
    },
    followed: false,
    yielded: false,
    formerPrimary: false,
  };
}

/** Of an agreement that is newer than all that either node is known to have. */
export function nextNumber(state: MirrorState): number {
  return Math.max(state.durable.agreement.number, state.peer?.agreement.number ?? 0) + 1;
}

/** The same reign, with a way back as long as nobody has allowed it. */
function prepared(next: Durable, from: Durable): Durable {
  const { before, loop: _loop, ...present } = from;
  return { ...next, before: before ?? present };
}

/** What held before a reign that was prepared and never allowed. */
export function unprepared(durable: Durable): Durable {
  return durable.before === undefined ? durable : { ...durable.before, loop: durable.loop };
}

/** The reign is allowed: there is no way back any more. */
function allowed(durable: Durable): Durable {
  const { before: _before, ...kept } = durable;
  return kept;
}

/** A follower may have everything and may be allowed to take over: whoever leaves now does not know who is newer. */
function mayHaveSuccessor(state: MirrorState): boolean {
  return state.phase === 'PRIM' || (state.phase === 'ALONE' && (state.replication.link !== 'none' || state.durable.followed));
}

/** Whatever was agreed for this node is given up: it goes on only by a new agreement, or as the follower of another. */
export function yielding(durable: Durable): Durable {
  const agreement = { ...durable.agreement, mode: 'primary-only' as const, holder: '', settled: false };
  return { ...durable, yielded: true, agreement };
}

/** Durable before the peer hears that this node has left its role: a primary that may be succeeded, a secondary that may not succeed. */
function leaving(state: MirrorState, durable: Durable): Durable {
  const leaves = (mayHaveSuccessor(state) || state.phase === 'SECOND' || durable.before !== undefined) && !state.successor;
  // Nothing was acknowledged in a reign that nobody has allowed.
  return leaves ? yielding(unprepared(durable)) : durable;
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
  draft.state = changed(draft.state, { offered: 0, startedMs: draft.state.nowMs });
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
    act({ kind: 'persist', durable: { ...leaving(state, durable), started: shutdown && durable.started } }, 'continue'),
    enter('STOP', 'NotReady'),
  ];
  draft.state = changed(state, { handingOver: true, intent: 'decide', queue: [] });
  begin(draft, { name: 'stop', steps, onAbort: 'ignore', settle: { quality: 'NotReady', reason: why }, leaving: true }, why);
}

/** Leaves the present role and decides anew; the peer may take over meanwhile. */
export function beginWait(
  draft: Draft,
  why: Reason,
  options: { durable?: Durable; action: string; blockedMs?: number; keepsRole?: true; reboots?: true },
): void {
  const { state } = draft;
  const durable = options.keepsRole === true ? state.durable : leaving(state, options.durable ?? state.durable);
  const steps: Step[] = [
    ...(durable === state.durable ? [] : [act({ kind: 'persist' as const, durable }, 'continue')]),
    ...takeDown(state, [], 'WAIT', options.action),
    scriptStep('transition', state.phase, 'WAIT', options.action),
    enter('WAIT'),
    ...(options.reboots === true ? [act({ kind: 'reboot', reason: why }, 'continue')] : []),
  ];
  draft.state = changed(state, { handingOver: true, intent: 'decide', blockedUntilMs: state.nowMs + (options.blockedMs ?? 0) });
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
  draft.state = changed(state, { withdrawn: true });
  begin(draft, { name: 'withdraw', steps, onAbort: 'ignore', settle: { quality: 'NotReady', reason: why }, leaving: false }, why);
}

/** WAIT to ALONE. `declared`: the operator's `prim`, which makes this copy the good one whatever its history. */
export function beginAlone(draft: Draft, why: Reason, declared: boolean): void {
  const { state } = draft;
  // A last primary whose peer is already outdated goes on in its generation: its journal counts from the same base.
  const durable =
    state.durable.peerOutdated && !state.durable.followed && !declared
      ? { ...allowed(state.durable), lastRole: 'primary' as const, yielded: false }
      : forked(state, 'primary');
  const steps = aloneSteps(state, durable, declared || durable.peerBase === '', declared);
  if (declared && state.settings.witness === 'strong') {
    // What the operator declares counts from now on, whatever the witness knew.
    const epoch = (state.witness.record?.epoch ?? 0) + 1;
    issue(draft, { kind: 'armWitness', record: { generation: durable.lineage.current, owner: state.settings.node, epoch } });
  }
  begin(draft, { name: 'alone', steps, onAbort: 'toWait', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

function aloneSteps(state: MirrorState, durable: Durable, fresh: boolean, isDeclared = false): Step[] {
  const { lineage, peerBase: base } = durable;
  const term = { generation: lineage.current, epoch: lineage.epoch };
  const promoted = isDeclared ? { ...(state.forced && { force: true as const }), ...(state.fromImage && { image: true as const }) } : {};
  return [
    ...(state.settings.hasAddresses ? [act({ kind: 'probeAddresses' })] : []),
    persist(durable),
    enter('ALONE'),
    ...(state.settings.replicated ? [act({ kind: 'becomePrimary', term, base, fresh, ...promoted })] : []),
    ...serve(state, 'WAIT', 'start'),
  ];
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

/**
 * SECOND to ALONE: failover. Everything received is applied and the new generation is durable before the address moves.
 * @param asks the witness must grant it first
 */
export function beginTakeover(draft: Draft, why: Reason, asks = false): void {
  draft.state = forgetAnswer(draft.state);
  const { state } = draft;
  const durable = forked(state, 'secondary');
  const from = state.durable.lineage.current;
  const generation = durable.lineage.current;
  const steps: Step[] = [
    ...(asks ? [persist({ ...state.durable, claim: { from, generation } }), { kind: 'awaitGrant' as const, from, generation }] : []),
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
    persist({ ...state.durable, peerOutdated: false, forkedAs: 'none', peerBase: '', formerPrimary: false }),
    enter('PRIM'),
    ...stopGroups(state.groups, GROUPS_OF.PRIM, 'ALONE', 'PRIM', 'prim'),
    scriptStep('transition', 'ALONE', 'PRIM', 'prim'),
  ];
  begin(draft, { name: 'prim', steps, onAbort: 'ignore', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

/**
 * The primary goes on without its peer. Held writes are released only when the new generation is durable here and the peer either said that
 * it is outdated, or has left, or is lost and cannot take over: for that the witness is asked, where there is one.
 */
export function beginContinueAlone(draft: Draft, why: Reason): void {
  draft.state = forgetAnswer(draft.state);
  const { state } = draft;
  const durable = forked(state, 'primary');
  const steps: Step[] = [
    ...(state.settings.replicated ? [act({ kind: 'disconnectPeer' }, 'continue')] : []),
    persist(prepared(durable, state.durable)),
    enter('ALONE'),
    { kind: 'awaitPeerOutdated', before: state.durable },
    persist(durable),
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
  const { claim: _claim, ...kept } = unprepared(state.durable);
  const durable: Durable = {
    ...kept,
    lastRole: 'secondary',
    condition,
    peerOutdated: false,
    forkedAs: 'none',
    peerBase: '',
    followed: false,
    yielded: false,
    formerPrimary: kept.formerPrimary || kept.lastRole === 'primary',
  };
  const term = { generation: state.peer?.lineage.current ?? '', epoch: state.peer?.lineage.epoch ?? 0 };
  const steps: Step[] = [
    persist(durable),
    enter('SECOND'),
    ...(state.settings.replicated ? [act({ kind: 'becomeSecondary', term, ...givenUpOf(durable) })] : []),
    scriptStep('transition', 'WAIT', 'SECOND', 'second'),
    ...startGroups(state.groups, GROUPS_OF.SECOND, 'WAIT', 'SECOND', 'second'),
  ];
  const settle = state.settings.replicated
    ? ({ quality: 'Transient', reason: reason('resynchronising', { peer: state.settings.peer }) } as const)
    : ({ quality: 'Ready', reason: why } as const);
  begin(draft, { name: 'second', steps, onAbort: 'toWait', settle, leaving: false }, why);
}

function givenUpOf({ givenUp }: Durable): { readonly givenUp?: string } {
  return givenUp === undefined ? {} : { givenUp };
}

/** Makes something durable that changes nothing in what the module does now. */
export function beginQuietRecord(draft: Draft, durable: Durable, why?: Reason): void {
  const { quality, reason: present } = draft.state;
  if (why !== undefined) draft.reasons.push(why);
  begin(draft, {
    name: 'record',
    steps: [persist(durable)],
    onAbort: 'ignore',
    settle: { quality, reason: present },
    leaving: false,
    quiet: true,
  });
}

/**
 * A node in WAIT that does not hear its peer may go on when the witness grants it a new generation, or has granted it the one that was
 * prepared before.
 */
export function beginReclaim(draft: Draft, why: Reason, as: 'primary' | 'secondary'): void {
  draft.state = forgetAnswer(draft.state);
  const { state } = draft;
  const durable = state.durable.before === undefined ? prepared(forked(state, as), state.durable) : state.durable;
  const from = durable.before?.lineage.current ?? '';
  const granted = allowed(durable);
  const steps: Step[] = [
    ...(durable === state.durable ? [] : [persist(durable)]),
    { kind: 'awaitGrant', from, generation: durable.lineage.current },
    ...aloneSteps(state, granted, granted.peerBase === ''),
  ];
  begin(draft, { name: 'reclaim', steps, onAbort: 'toWait', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

/** A small sequence that only makes something durable and settles in the same phase. */
export function beginRecord(draft: Draft, durable: Durable, quality: Quality, why: Reason): void {
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
export function beginSwap(draft: Draft, why: Reason, durable: Durable = draft.state.durable): void {
  const { state } = draft;
  const { peer, swapLimitMs } = state.settings;
  const steps: Step[] = [
    ...takeDown(state, GROUPS_OF.SECOND, 'SECOND', 'swap'),
    persist(yielding({ ...durable, lastRole: 'secondary' })),
    enter('WAIT'),
    { kind: 'awaitPeerPrimary', limitMs: swapLimitMs },
  ];
  draft.state = changed(state, { handingOver: true });
  const settle = { quality: 'Transient', reason: reason('waitingForPeer', { peer }) } as const;
  begin(draft, { name: 'swap', steps, onAbort: 'ignore', settle, leaving: true }, why);
}
