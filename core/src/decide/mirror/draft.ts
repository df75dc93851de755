/**
 * The working copy of one transition. Functions of this folder read and extend a draft; `step` makes it from the old state and returns it
 * as the transition, so that from outside nothing is ever changed in place.
 */
import type { Reason } from '../../model/reason.js';
import type { Phase, Quality } from '../../model/state.js';
import { copyOf, sequenceAt } from './copy.js';
import type { Action, Durable, IssuedAction, MirrorState, Sequence, Step } from './types.js';

export interface Draft {
  state: MirrorState;
  readonly actions: IssuedAction[];
  readonly reasons: Reason[];
}

/** From where a phase may be entered; anything else is a programmer's error and stops the process. */
const LEGAL: Readonly<Record<Phase, readonly Phase[]>> = {
  STOP: ['WAIT', 'ALONE', 'PRIM', 'SECOND', 'STOP'],
  WAIT: ['STOP', 'ALONE', 'PRIM', 'SECOND', 'WAIT'],
  ALONE: ['WAIT', 'PRIM', 'SECOND', 'ALONE'],
  PRIM: ['ALONE', 'PRIM'],
  SECOND: ['WAIT', 'SECOND'],
  UP: [],
};

export function become(draft: Draft, phase: Phase, quality: Quality): void {
  if (!LEGAL[phase].includes(draft.state.phase)) throw new Error(`illegal transition ${draft.state.phase} -> ${phase}`);
  const next = copyOf(draft.state);
  next.phase = phase;
  next.quality = quality;
  draft.state = next;
}

export function explain(draft: Draft, why: Reason): void {
  const next = copyOf(draft.state);
  next.reason = why;
  draft.state = next;
  draft.reasons.push(why);
}

/** Issues an action; the id links its outcome to it. */
export function issue(draft: Draft, action: Action): number {
  const id = draft.state.nextActionId;
  const next = copyOf(draft.state);
  next.nextActionId = id + 1;
  draft.state = next;
  draft.actions.push({ id, action });
  return id;
}

export function begin(draft: Draft, sequence: Omit<Sequence, 'at' | 'stepSinceMs' | 'waitingFor'>, why?: Reason): void {
  if (why !== undefined) explain(draft, why);
  const quality = sequence.quiet === true ? draft.state.quality : 'Transient';
  const next = copyOf(draft.state);
  next.quality = quality;
  next.sequence = sequenceAt(sequence, 0, draft.state.nowMs);
  draft.state = next;
}

export function act(action: Action, onFailure: 'abort' | 'continue' = 'abort'): Step {
  return { kind: 'act', action, onFailure };
}

export function persist(durable: Durable): Step {
  return act({ kind: 'persist', durable });
}

export function enter(phase: Phase, quality: Quality = 'Transient'): Step {
  return { kind: 'enter', phase, quality };
}
