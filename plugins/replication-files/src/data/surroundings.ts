/** What both roles of the data thread are given: the trees, the pool, and how to report. */
import type { HoldfastError, VerifyFailure, VerifyResult } from '@holdfast/sdk';
import type { Boundary } from '../boundary/boundary.js';
import type { ConflictKeeper } from '../conflicts/keeper.js';
import type { Custody } from '../continuity/custody.js';
import type { CheckpointMark } from '../journal/checkpoint-mark.js';
import type { InconsistentMarker } from '../journal/marker.js';
import type { RecordingStore } from '../image/recording-store.js';
import type { Trash } from '../resync/trash.js';
import type { EpollSet } from '../system/epoll.js';
import type { DataSettings } from './messages.js';
import type { Pool } from './pool.js';

export interface RoleSurroundings {
  readonly settings: DataSettings;
  readonly epoll: EpollSet;
  readonly pool: Pool;
  readonly store: RecordingStore;
  readonly boundary: Boundary;
  readonly trash: Trash;
  readonly marker: InconsistentMarker;
  /** Undefined: there is no holder, and this process has no successor. */
  readonly custody: Custody | undefined;
  readonly mark: CheckpointMark;
  /** Of a secondary: keeps what a resync overwrites of changes that are given up. Undefined when there are none. */
  readonly keeper: ConflictKeeper | undefined;
  readonly nowMs: () => number;
  /** Something of the state has changed. */
  readonly changed: () => void;
  /** A verification has ended: here, or told by the primary. */
  readonly verified: (outcome: VerifyResult | VerifyFailure) => void;
  readonly linkLost: (link: number, error: HoldfastError) => void;
  /** This node's disk fails, and the peer has everything: nothing more is served, and the application does not hear of it. */
  readonly diskFailed: (errno: number) => never;
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
}
