/**
 * Who may go on when the nodes lose each other. A witness is a record outside of both nodes that moves from one generation to the next by
 * compare-and-set. It is asked only when the peer is lost; while both nodes see each other they agree, durably, on what it will be good
 * for.
 */
import type { NodeId } from './state.js';

/**
 * - `strong`: a witness that grants the next generation to one node only;
 * - `weak`: a probe (ping): says whether this node is cut off, and may say yes to both;
 * - `none`: nobody is asked: after a cut of all heartbeat networks both nodes run.
 */
export type WitnessGrade = 'none' | 'weak' | 'strong';

/**
 * What both nodes hold to when they lose each other:
 * - `witness`: either must be granted the next generation;
 * - `primary-only`: the holder goes on without asking, the other neither goes on nor asks.
 * The holder offers under a growing number; the other adopts durably, and only then the holder uses what it gained (`settled`). Each
 * gives up before the other gains, so that at no moment, not even between two crashes, both may act.
 */
export interface Agreement {
  readonly number: number;
  readonly mode: 'witness' | 'primary-only';
  /** Empty: nothing was ever agreed. */
  readonly holder: NodeId;
  readonly settled: boolean;
  /**
   * An offer of a node that had agreed not to ask: as long as nobody has adopted it, that still holds. Of the node itself; never told.
   */
  readonly bound?: true;
  /** Epoch of the witness's record when it was last counted on: a grant has the next one, so that no late request undoes it. */
  readonly epoch: number;
}

export const AGREEMENT_EMPTY: Agreement = { number: 0, mode: 'primary-only', holder: '', settled: false, epoch: 0 };

/** The record of a strong witness. `epoch` grows with every change of it. */
export interface WitnessRecord {
  readonly generation: string;
  readonly owner: string;
  readonly epoch: number;
}

/** What is known of the witness here; `record` only of a strong one. */
export interface WitnessFacts {
  readonly reachable: boolean;
  readonly record?: WitnessRecord;
  /** Of several witnesses fewer than most have this record: nothing can be granted on it. */
  readonly partial?: true;
}

export type ClaimAnswer = 'granted' | 'refused' | 'unanswered';
