/** States and qualities of a module on a node, as operators know them, and the exit codes of `holdfast state -lq`. */

export type Phase = 'STOP' | 'WAIT' | 'ALONE' | 'PRIM' | 'SECOND' | 'UP';
export type Quality = 'NotReady' | 'Transient' | 'Ready';

/** Exit codes of `state -lq`. */
export const PHASE_EXIT_CODE: Readonly<Record<Phase, number>> = { STOP: 0, WAIT: 1, ALONE: 2, UP: 2, PRIM: 3, SECOND: 4 };

export type NodeId = string;
export type ModuleName = string;

/** Monotonic milliseconds of one node. Never compared between nodes. */
export type MonotonicMs = number;
