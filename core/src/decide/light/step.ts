/**
 * The automaton of a module that a node runs by itself: STOP, WAIT, UP. One event in; the next state, the actions to run and the reasons
 * out. It knows no other node: a farm module has the same automaton, and what its nodes agree on is decided in decide/farm.
 */
import { reason, type Reason } from '../../model/reason.js';
import type { Phase } from '../../model/state.js';
import { gravestDown, WAIT_AGAIN_MS } from '../mirror/resources.js';
import { takeCommand } from './commands.js';
import { beginAutomatic, beginStop, beginUp, explain } from './sequences.js';
import type { LightDraft, LightDurable, LightEvent, LightSequence, LightSettings, LightState, LightTransition } from './types.js';

/** Steps of one transition; more means a loop in the rules. */
const TURNS_MAX = 100;

/** From where a phase may be entered; anything else is a programmer's error and stops the process. */
const LEGAL: Readonly<Partial<Record<Phase, readonly Phase[]>>> = {
  STOP: ['STOP', 'WAIT', 'UP'],
  WAIT: ['STOP', 'WAIT', 'UP'],
  UP: ['WAIT'],
};

export const LIGHT_DURABLE_AT_FIRST: LightDurable = { started: false, loop: { count: 0, sinceWallMs: 0 } };

export function createLight(settings: LightSettings, durable: LightDurable, clock: { nowMs: number; wallMs: number }): LightState {
  return {
    settings,
    phase: 'STOP',
    quality: 'NotReady',
    reason: reason('configured'),
    durable,
    groups: [],
    resources: {},
    queue: [],
    blockedUntilMs: 0,
    nextActionId: 1,
    nowMs: clock.nowMs,
    wallMs: clock.wallMs,
  };
}

export function stepLight(state: LightState, event: LightEvent): LightTransition {
  const draft: LightDraft = { state: { ...state, nowMs: event.nowMs, wallMs: event.wallMs }, actions: [], reasons: [] };
  absorb(draft, event);
  for (let turn = 0; ; turn += 1) {
    if (turn === TURNS_MAX) throw new Error(`the ${state.settings.mode} automaton does not come to rest in ${draft.state.phase}`);
    const before = draft.state;
    if (draft.state.sequence !== undefined) drive(draft, draft.state.sequence);
    else if (!takeCommand(draft)) decide(draft);
    if (draft.state === before || draft.state.sequence?.waitingFor !== undefined) break;
  }
  const { phase, sequence, groups } = draft.state;
  if (phase === 'STOP' && sequence === undefined && groups.length > 0) throw new Error('invariant: scripts are running in STOP');
  return draft;
}

function absorb(draft: LightDraft, event: LightEvent): void {
  const { state } = draft;
  switch (event.kind) {
    case 'tick':
      return;
    case 'resource': {
      const { name, value, detail, action } = event;
      draft.state = { ...state, resources: { ...state.resources, [name]: { value, detail, action } } };
      return;
    }
    case 'operator':
      draft.state = { ...state, queue: [...state.queue, event.command] };
      return;
    case 'actionDone':
      return actionDone(draft, event.id, event.error);
  }
}

function actionDone(draft: LightDraft, id: number, error: string | undefined): void {
  const { sequence } = draft.state;
  const current = sequence?.steps[sequence.at];
  if (sequence?.waitingFor !== id || current?.kind !== 'act') return;
  const { action } = current;
  if (error === undefined) {
    if (action.kind === 'persist') draft.state = { ...draft.state, durable: action.durable };
    return advance(draft, sequence);
  }
  const why = reason('stepFailed', { step: action.kind === 'script' ? action.script : action.kind, error });
  explain(draft, why);
  if (current.onFailure === 'continue') return advance(draft, sequence);
  abort(draft, sequence, why);
}

function advance(draft: LightDraft, sequence: LightSequence): void {
  const { waitingFor: _done, ...rest } = sequence;
  draft.state = { ...draft.state, sequence: { ...rest, at: sequence.at + 1 } };
}

function endSequence(draft: LightDraft): void {
  const { sequence: _ended, ...rest } = draft.state;
  draft.state = rest;
}

function abort(draft: LightDraft, sequence: LightSequence, why: Reason): void {
  endSequence(draft);
  switch (sequence.onAbort) {
    case 'stop':
      return beginStop(draft, why);
    case 'stopstart':
      return beginAutomatic(draft, 'stopstart', why);
    case 'ignore':
      return settle(draft, sequence);
  }
}

function settle(draft: LightDraft, sequence: LightSequence): void {
  endSequence(draft);
  draft.state = { ...draft.state, quality: sequence.settle.quality };
  if (draft.state.reason !== sequence.settle.reason) explain(draft, sequence.settle.reason);
}

/** Runs the sequence's next step. A start that is overtaken by an operator's stop ends between two steps. */
function drive(draft: LightDraft, sequence: LightSequence): void {
  if (sequence.waitingFor !== undefined) return;
  const stop = draft.state.queue.find((command) => command.verb === 'stop');
  if (stop !== undefined && !sequence.leaving) {
    endSequence(draft);
    return beginStop(draft, reason(stop.shutdown ? 'shutdown' : 'operatorStop'), draft.state.durable, stop.shutdown);
  }
  const current = sequence.steps[sequence.at];
  switch (current?.kind) {
    case undefined:
      return settle(draft, sequence);
    case 'act': {
      const id = draft.state.nextActionId;
      draft.actions.push({ id, action: current.action });
      draft.state = { ...draft.state, nextActionId: id + 1, sequence: { ...sequence, waitingFor: id } };
      return;
    }
    case 'enter': {
      const { phase } = draft.state;
      if (LEGAL[current.phase]?.includes(phase) !== true) throw new Error(`illegal transition ${phase} -> ${current.phase}`);
      draft.state = { ...draft.state, phase: current.phase, quality: current.quality };
      return advance(draft, sequence);
    }
    case 'groups':
      draft.state = { ...draft.state, groups: current.groups };
      return advance(draft, sequence);
  }
}

function decide(draft: LightDraft): void {
  if (draft.state.phase === 'WAIT') decideWait(draft);
  else if (draft.state.phase === 'UP') decideUp(draft);
}

/** A resource that is watched before the application starts and is down keeps it from starting, for as long as it is down. */
function decideWait(draft: LightDraft): void {
  const { state } = draft;
  if (state.nowMs < state.blockedUntilMs) return;
  const blocking = Object.entries(state.resources).find(([, { value, action }]) => value === 'down' && action === 'wait');
  if (blocking === undefined) return beginUp(draft, state.quality === 'NotReady' ? reason('ready') : state.reason);
  if (state.quality === 'NotReady') return;
  const [resource, { detail, action }] = blocking;
  draft.state = { ...state, quality: 'NotReady' };
  explain(draft, reason('resourceDown', { resource, detail, action }));
}

function decideUp(draft: LightDraft): void {
  const down = gravestDown(draft.state.resources);
  if (down === undefined || down.action === 'noaction') return;
  const { name: resource, detail, action, rest } = down;
  draft.state = { ...draft.state, resources: rest };
  beginAutomatic(draft, action, reason('resourceDown', { resource, detail, action }), action === 'wait' ? WAIT_AGAIN_MS : 0);
}
