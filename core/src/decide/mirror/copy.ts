/**
 * Copies with every field named. An object that is spread many times in a row gets a new hidden class at every place, until the engine
 * copies it field by field through its slow path; a literal always makes the same one, and millions of simulated decisions are a matter of
 * minutes. The types see to it that no field is forgotten.
 */
import type { MirrorEvent, MirrorState, Sequence } from './types.js';
import type { DetectorState } from '../detector.js';

type Every<T> = { -readonly [K in keyof Required<T>]: T[K] };

export function copyOf(state: MirrorState): Every<MirrorState> {
  return {
    settings: state.settings,
    phase: state.phase,
    quality: state.quality,
    reason: state.reason,
    durable: state.durable,
    detector: state.detector,
    peer: state.peer,
    replication: state.replication,
    witness: state.witness,
    claim: state.claim,
    armIssuedMs: state.armIssuedMs,
    offered: state.offered,
    startedMs: state.startedMs,
    successor: state.successor,
    groups: state.groups,
    addresses: state.addresses,
    addressesObserved: state.addressesObserved,
    resources: state.resources,
    ruleFacts: state.ruleFacts,
    ruleProgress: state.ruleProgress,
    blockedBy: state.blockedBy,
    failoverSuspended: state.failoverSuspended,
    sequence: state.sequence,
    queue: state.queue,
    intent: state.intent,
    forced: state.forced,
    fromImage: state.fromImage,
    handingOver: state.handingOver,
    withdrawn: state.withdrawn,
    blockedUntilMs: state.blockedUntilMs,
    connectIssuedMs: state.connectIssuedMs,
    nextActionId: state.nextActionId,
    nowMs: state.nowMs,
    wallMs: state.wallMs,
    freshGeneration: state.freshGeneration,
  };
}

/** A copy in which some fields are others. `undefined` takes an optional one away. */
export function changed(state: MirrorState, change: Partial<Every<MirrorState>>): MirrorState {
  return Object.assign(copyOf(state), change);
}

/** The state at the time of an event. */
export function clocked(state: MirrorState, event: MirrorEvent, detector: DetectorState): MirrorState {
  const copy = copyOf(state);
  copy.detector = detector;
  copy.nowMs = event.nowMs;
  copy.wallMs = event.wallMs;
  copy.freshGeneration = event.freshGeneration;
  return copy;
}

export function withSequence(state: MirrorState, sequence: Sequence | undefined): MirrorState {
  const copy = copyOf(state);
  copy.sequence = sequence;
  return copy;
}

/** A sequence at one of its steps; `waitingFor` only while an action is under way. */
export function sequenceAt(
  sequence: Omit<Sequence, 'at' | 'stepSinceMs' | 'waitingFor'>,
  at: number,
  stepSinceMs: number,
  waitingFor?: number,
): Every<Sequence> {
  return {
    name: sequence.name,
    steps: sequence.steps,
    at,
    stepSinceMs,
    waitingFor,
    onAbort: sequence.onAbort,
    settle: sequence.settle,
    leaving: sequence.leaving,
    quiet: sequence.quiet,
    refused: sequence.refused,
  };
}
