/**
 * What is done, in which order, on the way between STOP, WAIT and UP. In a farm traffic comes last on the way up and goes first on the way
 * down: no client is sent to an application that is starting or ending.
 */
import { reason, type Reason } from '../../model/reason.js';
import type { Phase, Quality } from '../../model/state.js';
import { counted } from '../mirror/loop-counter.js';
import { checksStep, GROUPS_OF, scriptStep, startGroups, stopGroups } from '../mirror/scripts.js';
import type { LightAction, LightDraft, LightDurable, LightSequence, LightState, LightStep } from './types.js';

function act(action: LightAction, onFailure: 'abort' | 'continue' = 'abort'): LightStep {
  return { kind: 'act', action, onFailure };
}

function enter(phase: Phase, quality: Quality = 'Transient'): LightStep {
  return { kind: 'enter', phase, quality };
}

function openTraffic({ settings }: LightState): LightStep[] {
  return settings.mode === 'farm' ? [act({ kind: 'openTraffic' })] : [];
}

function closeTraffic({ settings, phase }: LightState): LightStep[] {
  return settings.mode === 'farm' && phase === 'UP' ? [act({ kind: 'closeTraffic' }, 'continue')] : [];
}

export function explain(draft: LightDraft, why: Reason): void {
  draft.state = { ...draft.state, reason: why };
  draft.reasons.push(why);
}

function begin(draft: LightDraft, sequence: Omit<LightSequence, 'at' | 'waitingFor'>, why?: Reason): void {
  if (why !== undefined) explain(draft, why);
  draft.state = { ...draft.state, quality: 'Transient', sequence: { ...sequence, at: 0 } };
}

export function beginStart(draft: LightDraft, why: Reason, durable: LightDurable): void {
  const steps: LightStep[] = [
    act({ kind: 'persist', durable: { ...durable, started: true } }),
    enter('WAIT'),
    scriptStep('transition', 'STOP', 'WAIT', 'start'),
    scriptStep('prestart', 'STOP', 'WAIT', 'start', false, 'abort'),
    checksStep('startChecks', 'pre'),
  ];
  begin(draft, { name: 'start', steps, onAbort: 'stop', settle: { quality: 'Transient', reason: why }, leaving: false }, why);
}

/** WAIT to UP. */
export function beginUp(draft: LightDraft, why: Reason): void {
  const { state } = draft;
  const steps: LightStep[] = [
    enter('UP'),
    scriptStep('transition', 'WAIT', 'UP', 'start'),
    ...startGroups(state.groups, GROUPS_OF.UP, 'WAIT', 'UP', 'start'),
    ...openTraffic(state),
  ];
  begin(draft, { name: 'up', steps, onAbort: 'stopstart', settle: { quality: 'Ready', reason: why }, leaving: false });
}

/** Stop and start scripts, in place. */
export function beginRestart(draft: LightDraft, why: Reason, durable: LightDurable): void {
  const { state } = draft;
  const steps: LightStep[] = [
    ...(durable === state.durable ? [] : [act({ kind: 'persist', durable })]),
    ...closeTraffic(state),
    ...stopGroups(state.groups, [], state.phase, state.phase, 'restart'),
    ...startGroups([], GROUPS_OF[state.phase], state.phase, state.phase, 'restart'),
    ...openTraffic(state),
  ];
  begin(draft, { name: 'restart', steps, onAbort: 'stopstart', settle: { quality: 'Ready', reason: why }, leaving: false }, why);
}

/** Takes the application down and decides anew. */
export function beginWait(draft: LightDraft, why: Reason, durable: LightDurable, action: string, blockedMs: number): void {
  const { state } = draft;
  const steps: LightStep[] = [
    ...(durable === state.durable ? [] : [act({ kind: 'persist', durable }, 'continue')]),
    ...closeTraffic(state),
    ...stopGroups(state.groups, [], state.phase, 'WAIT', action),
    scriptStep('transition', state.phase, 'WAIT', action),
    enter('WAIT'),
  ];
  draft.state = { ...state, blockedUntilMs: state.nowMs + blockedMs };
  begin(draft, { name: action, steps, onAbort: 'ignore', settle: { quality: 'Transient', reason: why }, leaving: true }, why);
}

export function beginStop(draft: LightDraft, why: Reason, durable: LightDurable = draft.state.durable, shutdown = false): void {
  const { state } = draft;
  const steps: LightStep[] = [
    ...closeTraffic(state),
    ...stopGroups(state.groups, [], state.phase, 'STOP', 'stop'),
    checksStep('stopChecks', 'pre'),
    scriptStep('poststop', state.phase, 'STOP', 'stop'),
    scriptStep('transition', state.phase, 'STOP', 'stop'),
    // A disk that fails must not keep a module from ending.
    act({ kind: 'persist', durable: { ...durable, started: shutdown && durable.started } }, 'continue'),
    enter('STOP', 'NotReady'),
  ];
  draft.state = { ...state, queue: [] };
  begin(draft, { name: 'stop', steps, onAbort: 'ignore', settle: { quality: 'NotReady', reason: why }, leaving: true }, why);
}

/** What is written down while the module goes on as it is. */
export function beginQuietRecord(draft: LightDraft, durable: LightDurable, why: Reason): void {
  const { quality, reason: present } = draft.state;
  draft.reasons.push(why);
  const steps = [act({ kind: 'persist', durable })];
  const sequence: LightSequence = { name: 'record', steps, at: 0, onAbort: 'ignore', settle: { quality, reason: present }, leaving: false };
  draft.state = { ...draft.state, sequence };
}

/** An action that nobody asked for: counts in maxloop, and becomes a stop when the count is used up. */
export function beginAutomatic(draft: LightDraft, kind: 'restart' | 'stopstart' | 'wait' | 'stop', cause: Reason, blockedMs = 0): void {
  if (kind === 'stop') return beginStop(draft, cause);
  const durable = counted(draft.state);
  if (durable === undefined) beginStop(draft, reason('maxloop', { count: draft.state.durable.loop.count, cause: cause.code }));
  else if (kind === 'restart') beginRestart(draft, cause, durable);
  else beginWait(draft, cause, durable, kind === 'wait' ? 'stopwait' : 'stopstart', blockedMs);
}
