/** What travels between the agent's thread and the thread that watches processes. Plain data. */
import type { ProcessCriteria } from './configuration.js';

export interface WatchRequest {
  readonly kind: 'watch';
  readonly id: number;
  readonly criteria: ProcessCriteria;
  /** A fall below this many is confirmed by further looks before it is told, as long as somebody may start a successor. */
  readonly atLeast: number | undefined;
  readonly scanIntervalMs: number;
  /** The same while there are enough of them: then only their deaths matter, which are told at once. */
  readonly calmIntervalMs: number;
  /** An unchanged observation is told again after this long. */
  readonly repeatIntervalMs: number;
}

export type WorkerRequest = WatchRequest | { readonly kind: 'unwatch'; readonly id: number };

export interface Observation {
  readonly id: number;
  readonly count: number;
  /** The first of them, for people. */
  readonly pids: readonly number[];
  /** Regular scans that this watch has seen, this one included. */
  readonly scans: number;
}

export interface WorkerSettings {
  /** Readable when there are requests, or when the thread shall end. */
  readonly wakeUpFd: number;
  /** One Int32: 1 = end. */
  readonly stopFlag: SharedArrayBuffer;
}
