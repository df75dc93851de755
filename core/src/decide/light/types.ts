/**
 * The vocabulary of a module that every node runs by itself: a light module, and the application of a farm module. As everywhere in this
 * folder, state is plain JSON, events are facts, actions are data.
 */
import type { Reason } from '../../model/reason.js';
import type { CheckAction, ResourceValue } from '../../model/resource.js';
import type { MonotonicMs, NodeId, Phase, Quality } from '../../model/state.js';
import type { Command, ScriptAction, ScriptGroup, ScriptStep } from '../mirror/types.js';

/** Fixed for the lifetime of an automaton. */
export interface LightSettings {
  readonly module: string;
  readonly node: NodeId;
  readonly mode: 'light' | 'farm';
  readonly maxLoop: number;
  readonly loopIntervalMs: number;
}

/** What survives a power cut. */
export interface LightDurable {
  /** The module was started and not stopped since (boot="auto"). */
  readonly started: boolean;
  readonly loop: { readonly count: number; readonly sinceWallMs: number };
}

export type LightAction =
  | { readonly kind: 'persist'; readonly durable: LightDurable }
  /** Farm: this node takes its share of the traffic from now on. */
  | { readonly kind: 'openTraffic' }
  /** Farm: done when this node accepts nothing any more and the others know it. */
  | { readonly kind: 'closeTraffic' }
  | ScriptAction;

export interface IssuedLightAction {
  readonly id: number;
  readonly action: LightAction;
}

export type LightStep =
  | { readonly kind: 'act'; readonly action: LightAction; readonly onFailure: 'abort' | 'continue' }
  | { readonly kind: 'enter'; readonly phase: Phase; readonly quality: Quality }
  | ScriptStep;

export interface LightSequence {
  /** For logs: `start`, `up`, `stop`, `restart`, … */
  readonly name: string;
  readonly steps: readonly LightStep[];
  /** Index of the step under way. */
  readonly at: number;
  /** Id of the action under way. */
  readonly waitingFor?: number;
  readonly onAbort: 'stopstart' | 'stop' | 'ignore';
  readonly settle: { readonly quality: Quality; readonly reason: Reason };
  /** A stop must not be interrupted; a start may be overtaken by `stop`. */
  readonly leaving: boolean;
}

export interface LightState {
  readonly settings: LightSettings;
  readonly phase: Phase;
  readonly quality: Quality;
  readonly reason: Reason;
  readonly durable: LightDurable;
  readonly groups: readonly ScriptGroup[];
  readonly resources: Readonly<Record<string, { readonly value: ResourceValue; readonly detail: string; readonly action: CheckAction }>>;
  readonly sequence?: LightSequence;
  /** Commands that wait for the sequence under way to finish. */
  readonly queue: readonly Command[];
  /** WAIT does not try again before this time. */
  readonly blockedUntilMs: MonotonicMs;
  readonly nextActionId: number;
  readonly nowMs: MonotonicMs;
  readonly wallMs: number;
}

export type LightEvent = { readonly nowMs: MonotonicMs; readonly wallMs: number } & (
  | { readonly kind: 'tick' }
  | {
      readonly kind: 'resource';
      readonly name: string;
      readonly value: ResourceValue;
      readonly detail: string;
      readonly action: CheckAction;
    }
  | { readonly kind: 'operator'; readonly command: Command }
  | { readonly kind: 'actionDone'; readonly id: number; readonly error?: string }
);

export interface LightTransition {
  readonly state: LightState;
  readonly actions: readonly IssuedLightAction[];
  /** Reasons worth a line in the log, in order. */
  readonly reasons: readonly Reason[];
}

/** The working copy of one transition. */
export interface LightDraft {
  state: LightState;
  readonly actions: IssuedLightAction[];
  readonly reasons: Reason[];
}
