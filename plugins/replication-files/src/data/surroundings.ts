/** What both roles of the data thread are given: the trees, the pool, and how to report. */
import type { HoldfastError, VerifyFailure, VerifyResult } from '@holdfast/sdk';
import type { Boundary } from '../boundary/boundary.js';
import type { InconsistentMarker } from '../journal/marker.js';
import type { Store } from '../store/store.js';
import type { EpollSet } from '../system/epoll.js';
import type { DataSettings } from './messages.js';
import type { Pool } from './pool.js';

export interface RoleSurroundings {
  readonly settings: DataSettings;
  readonly epoll: EpollSet;
  readonly pool: Pool;
  readonly store: Store;
  readonly boundary: Boundary;
  readonly marker: InconsistentMarker;
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
