/** What the pipeline of modifications needs around it. */
import type { TouchRecorder } from '../journal/dirty-set.js';
import type { Handle } from '../store/handle.js';
import type { LiveBody } from './modification.js';

/** Requests to the peer, in order; `answered` gets 0 or a positive errno, unless the link is lost first. */
export interface PeerRequests {
  request(body: LiveBody, answered: (errno: number) => void): void;
}

export interface PipelineSurroundings {
  /** Journal (alone) or recent set (connected). */
  recorder(): TouchRecorder;
  /** Makes the journal's news reach its file: before anything is answered. */
  flushJournal(): void;
  /** Writes down what may reach a disk, before it does; `resume` is called when more of it is durable. */
  activity(): Coverage | undefined;
  /** False while a resync freezes the tree; `resume` is called when it is over. */
  admits(): boolean;
  /**
   * The nodes differ in what the recorder names, or an object cannot be named to the peer: to be repaired from the local truth. Must call
   * `goAlone({ awaitAnswers: true })`, or `hold`, before it returns, and `thaw` when the peer knows durably that it is behind.
   */
  diverged(reason: string): void;
  /** fdatasync or fsync of one object on a pool thread, and of the journal if it has news. */
  syncLocally(handle: Handle, isDatasync: boolean, done: (outcome: number) => void): void;
  /** The local disk fails where the peer's does not: to be ended, without an answer. */
  diskFailed(errno: number): void;
  /** The peer could not make something durable. */
  peerFailed(reason: string): void;
  /** The agent has decided lately: what is acknowledged now is not taken over behind its back. */
  isAttended(): boolean;
}

/** The activity log, as the pipeline uses it. */
export interface Coverage {
  cover(touch: (recorder: TouchRecorder) => void): number;
  isDurable(need: number): boolean;
  pin(): number;
  unpin(period: number): boolean;
}
